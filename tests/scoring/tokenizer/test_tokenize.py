"""Tokens: BOS found by encoding, texts that cannot be scored named, the cut counted in bytes."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize, tokenize_with
from tests import tiny


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory):
    path = tmp_path_factory.mktemp("with-bos")
    tiny.make_tokenizer(path, bos=True)
    return path


@pytest.fixture(scope="module")
def without_bos(tmp_path_factory):
    path = tmp_path_factory.mktemp("without-bos")
    tiny.make_tokenizer(path)
    return path


def test_a_bos_is_what_the_tokenizer_does_not_what_it_claims(with_bos, without_bos, texts):
    # Both claim to have a BOS token; one puts it there.
    for path, applied in ((with_bos, True), (without_bos, False)):
        tokenizer = AutoTokenizer.from_pretrained(path)
        assert tokenizer.bos_token_id is not None
        tokens = tokenize(path, texts, ScoringSettings())
        assert tokens.bos_applied is applied
        assert [list(row) for row in tokens.ids] == tokenizer(list(texts.texts))["input_ids"]
        np.testing.assert_array_equal(tokens.scored, tokens.lengths - 1)


def test_bos_always_and_never(with_bos, without_bos, texts):
    plain = tokenize(without_bos, texts, ScoringSettings())
    always = tokenize(without_bos, texts, ScoringSettings(bos="always"))
    never = tokenize(with_bos, texts, ScoringSettings(bos="never"))
    bos = AutoTokenizer.from_pretrained(without_bos).bos_token_id
    assert always.bos_applied
    assert not never.bos_applied
    for bare, first, stripped in zip(plain.ids, always.ids, never.ids, strict=True):
        assert list(first) == [bos, *bare]
        assert list(stripped) == list(bare)
    again = tokenize(with_bos, texts, ScoringSettings(bos="always"))
    auto = tokenize(with_bos, texts, ScoringSettings())
    assert all(np.array_equal(a, b) for a, b in zip(again.ids, auto.ids, strict=True))


def test_bos_always_needs_a_bos_token(tmp_path, texts):
    tokenizer = tiny.make_tokenizer(tmp_path)
    tokenizer.bos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has no BOS token"):
        tokenize(tmp_path, texts, ScoringSettings(bos="always"))


def test_two_tokens_in_front_are_conditions_and_not_scored(tmp_path):
    inner = Tokenizer(models.WordLevel({"[g]": 0, "[s]": 1, "a": 2, "b": 3, "?": 4}, "?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[g] [s] $A", special_tokens=[("[g]", 0), ("[s]", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, additional_special_tokens=["[g]", "[s]"]
    )
    tokens = tokenize_with(tokenizer, TextSet("two", ("a b", "b b a")), ScoringSettings())
    assert [list(row) for row in tokens.ids] == [[0, 1, 2, 3], [0, 1, 3, 3, 2]]
    np.testing.assert_array_equal(tokens.scored, [2, 3])


def test_texts_with_nothing_to_score_are_named(without_bos, with_bos):
    texts = TextSet("letters", ("a", "two words", "b"))
    with pytest.raises(InputError, match=r"texts 0, 2 of 'letters'.*bos=always"):
        tokenize(without_bos, texts, ScoringSettings())
    assert list(tokenize(with_bos, texts, ScoringSettings()).scored[[0, 2]]) == [1, 1]
    settings = ScoringSettings(bos="always")
    assert list(tokenize(without_bos, texts, settings).scored[[0, 2]]) == [1, 1]


def test_overlong_texts_are_named_with_their_lengths(without_bos, texts):
    tokens = tokenize(without_bos, texts, ScoringSettings())
    long = [i for i, length in enumerate(tokens.lengths) if length > 20]
    assert len(long) > 1
    with pytest.raises(InputError, match=rf"{long[0]} \({tokens.lengths[long[0]]} tokens\)"):
        tokens.within(20, "error")
    with pytest.raises(InputError, match="more than the 20 tokens"):
        tokenize(without_bos, texts, ScoringSettings(), limit=20)
    assert tokens.within(None, "error") is tokens
    assert tokens.within(10_000, "error") is tokens


def test_what_is_cut_is_counted_in_bytes(without_bos):
    texts = TextSet("cut", ("short one", "é京" * 30 + " end"))
    tokenizer = AutoTokenizer.from_pretrained(without_bos)
    tokens = tokenize(without_bos, texts, ScoringSettings(overlong="truncate"), limit=15)
    assert tokens.truncated == (1,)
    np.testing.assert_array_equal(tokens.lengths[1], 15)
    np.testing.assert_array_equal(tokens.bytes[0], texts.bytes[0])
    # A cut inside a character counts the whole character.
    kept = tokenizer.decode(tokens.ids[1]).rstrip("\ufffd")
    assert 0 <= tokens.bytes[1] - len(kept.encode("utf-8")) <= 3
    # Cut again for a smaller model, and never made longer.
    twice = tokens.within(10, "truncate").within(15, "truncate")
    assert twice.lengths[1] == 10
    assert twice.bytes[1] < tokens.bytes[1]


def test_special_tokens_inside_a_text_can_be_plain_characters(without_bos):
    texts = TextSet("inside", ("before<|endoftext|>after",))
    read = tokenize(without_bos, texts, ScoringSettings())
    split = tokenize(without_bos, texts, ScoringSettings(split_special_tokens=True))
    assert 0 in read.ids[0]
    assert 0 not in split.ids[0]
    assert len(split.ids[0]) > len(read.ids[0])


def test_a_stored_truncation_or_padding_is_not_obeyed(tmp_path, texts):
    tokenizer = tiny.make_tokenizer(tmp_path)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=200)
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokens = tokenize(tmp_path, texts, ScoringSettings())
    assert 5 < tokens.lengths.max() < 200


def test_a_directory_without_a_tokenizer_is_said(tmp_path, texts):
    (tmp_path / "config.json").write_text('{"model_type": "gpt_neox"}')
    with pytest.raises(InputError, match="holds no tokenizer"):
        tokenize(tmp_path, texts, ScoringSettings())
