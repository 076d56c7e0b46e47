"""EOS: stripped unless it is asked for; found by encoding, not by what a tokenizer claims."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring.tokenizer import foreign_class

TEXTS = TextSet("ends", ("A first text.", "and <|endoftext|>", "a third"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("appends")
    foreign_class.write(path, "PreTrainedTokenizerFast", eos=True)
    return path


def test_what_a_tokenizer_appends_is_not_scored(folder, tmp_path):
    foreign_class.write(tmp_path, "PreTrainedTokenizerFast")
    plain = tokenize(tmp_path, TEXTS, ScoringSettings())
    stripped = tokenize(folder, TEXTS, ScoringSettings())
    for one, other in zip(plain.ids, stripped.ids, strict=True):
        np.testing.assert_array_equal(one, other)
    assert stripped.ids[1][-1] == 0  # its own words, not what was appended
    assert stripped.facts["eos_applied"] is False


@pytest.mark.parametrize("policy", ["auto", "always"])
def test_it_can_be_scored(folder, policy):
    stripped = tokenize(folder, TEXTS, ScoringSettings())
    scored = tokenize(folder, TEXTS, ScoringSettings(eos=policy))
    for bare, with_end, end, size in zip(
        stripped.ids, scored.ids, scored.ends, TEXTS.bytes, strict=True
    ):
        assert list(with_end) == [*bare, 0]
        assert end[-1] == end[-2] == size
    np.testing.assert_array_equal(scored.scored, stripped.scored + 1)
    np.testing.assert_array_equal(scored.bytes, stripped.bytes)
    assert scored.facts["eos_applied"] is True
    assert not scored.made_from(TEXTS, ScoringSettings())


def test_always_where_the_tokenizer_does_not(tmp_path):
    tiny.make_tokenizer(tmp_path)
    assert not tokenize(tmp_path, TEXTS, ScoringSettings(eos="auto")).facts["eos_applied"]
    tokens = tokenize(tmp_path, TEXTS, ScoringSettings(eos="always"))
    assert all(row[-1] == 0 for row in tokens.ids)


def test_always_needs_an_eos_token(tmp_path):
    tokenizer = tiny.make_tokenizer(tmp_path)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has no EOS token; use eos=never"):
        tokenize(tmp_path, TEXTS, ScoringSettings(eos="always"))


def test_a_text_of_one_token_has_nothing_to_score_but_its_eos(tmp_path):
    tiny.make_tokenizer(tmp_path)
    with pytest.raises(InputError, match="nothing to score of text 0"):
        tokenize(tmp_path, TextSet("letter", ("a",)), ScoringSettings(eos="always"))
