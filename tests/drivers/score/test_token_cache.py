"""Tokens of a text set: made once for a tokenizer, wherever its copies lie."""

from __future__ import annotations

import shutil

import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.token_cache import TokenCache, tokenizer_digest
from mlflow_modelmap.scoring.model.reference import ModelReference


def ready_for(model, texts, **settings):
    return prepare(ScoreRequest(reference=ModelReference.parse(model), **settings), texts)


def test_copies_of_a_tokenizer_are_one_and_changed_ones_another(tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "trainer_state.json").write_text("{}")
    (copy / "optimizer.pt").write_bytes(b"0")
    assert tokenizer_digest(str(copy)) == tokenizer_digest(str(tiny_model))
    written = (copy / "tokenizer_config.json").read_text()
    (copy / "tokenizer_config.json").write_text(written + "\n")
    assert tokenizer_digest(str(copy)) != tokenizer_digest(str(tiny_model))


def test_only_the_last_few_are_kept(tiny_models, texts):
    cache = TokenCache(keep=1)
    plain = ready_for(tiny_models(), texts)
    with_bos = ready_for(tiny_models("gpt_neox", seed=0, bos=True), texts)
    first = cache.tokens_for(plain)
    assert cache.tokens_for(plain) is first
    cache.tokens_for(with_bos)
    assert cache.tokens_for(plain) is not first


def test_a_text_too_long_is_said_before_any_run(tiny_model):
    long = TextSet("long", ("word " * 400,))
    with pytest.raises(InputError, match="more than the 256 tokens"):
        TokenCache().ready(ready_for(tiny_model, long))
