"""Texts that a vocabulary cannot spell: measured, told, and refused above a limit."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize_with
from tests import tiny


def _words(normaliser=None, known="abcdefghijklmnopqrstuvwxyz ."):
    """A vocabulary of letters; what is none of them is unknown."""
    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["?", *known])}, "?"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if normaliser is not None:
        inner.normalizer = normaliser
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?")


def test_the_share_of_unknown_bytes():
    texts = TextSet("mixed", ("ab cd ef gh ij kl mn op 京", "all of it is known here."))
    tokens = tokenize_with(_words(), texts, ScoringSettings())
    assert tokens.facts["unknown_share"] == pytest.approx(3 / sum(texts.bytes), abs=1e-6)
    share = 100 * 3 / sum(texts.bytes)
    assert tokens.notices == (
        "The tokenizer cannot spell all of the texts: "
        f"{share:.2f} % of the bytes become its unknown token.",
    )


def test_too_much_of_it_is_an_error_that_says_how_to_allow_it():
    texts = TextSet("kanji", ("ab 京都 cd",))
    share = 6 / 12
    with pytest.raises(InputError, match=r"'kanji': 50.00 % of the bytes .*unspelled=0.5"):
        tokenize_with(_words(), texts, ScoringSettings())
    allowed = tokenize_with(_words(), texts, ScoringSettings(unspelled=0.5))
    assert allowed.facts["unknown_share"] == pytest.approx(share)


def test_lower_case_is_another_text():
    texts = TextSet("capitals", ("The Quick brown fox jumps over.",))
    tokens = tokenize_with(_words(normalizers.Lowercase()), texts, ScoringSettings())
    assert tokens.facts["rewritten_share"] == pytest.approx(2 / 31, abs=1e-6)
    assert "6.45 % of the characters are written otherwise" in tokens.notices[0]
    with pytest.raises(InputError, match=r"unspelled=0\.07"):
        tokenize_with(_words(normalizers.Lowercase()), texts, ScoringSettings(unspelled=0.05))


def test_a_normaliser_that_changes_nothing_of_these_texts_is_not_told():
    texts = TextSet("plain", ("only plain letters.",))
    for normaliser in (normalizers.NFKC(), normalizers.Prepend("▁"), normalizers.Lowercase()):
        assert not tokenize_with(
            _words(normaliser, "abcdefghijklmnopqrstuvwxyz .▁"), texts, ScoringSettings()
        ).notices


def test_where_unknown_and_end_are_one_token_a_text_may_hold_it(tmp_path):
    tokenizer = tiny.make_tokenizer(tmp_path)
    tokenizer.unk_token = tokenizer.eos_token
    texts = TextSet("ends", ("one <|endoftext|>",))
    assert not tokenize_with(tokenizer, texts, ScoringSettings()).notices
