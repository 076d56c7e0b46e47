"""Slices: a batch goes through the body a few texts at a time, and through the head at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.engine import scorer as scorer_module
from mlflow_modelmap.scoring.engine.batches import make_batch
from mlflow_modelmap.scoring.engine.read_alone import ReadAlone
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.slices import head_rows, slice_sizes
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring.reckoning import plain

SETTINGS = ScoringSettings(device="cpu", batch_tokens=300)


def make():
    torch.manual_seed(0)
    return LlamaForCausalLM(tiny.make_config("llama")).eval()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.make_tokenizer(folder)
    words = ("quick fox over the lazy dog; print(add) naïve probability " * 4).split()
    texts = tuple(f"{k} " + " ".join(words[: 2 * k]) for k in range(1, 15))
    return tokenize(folder, TextSet("mixed", texts), SETTINGS)


@pytest.mark.parametrize(
    ("count", "width", "body_tokens", "sizes"),
    [
        (8, 240, 768, [3, 3, 2]),
        (8, 240, None, [8]),
        (3, 5, 768, [3]),
        (1, 5000, 768, [1]),
        (3, 5000, 768, [1, 1, 1]),
    ],
)
def test_slices_are_even_and_hold_whole_texts(count, width, body_tokens, sizes):
    assert slice_sizes(count, width, body_tokens) == sizes


@pytest.mark.parametrize("body_tokens", [1, 100, 170, 10_000])
def test_what_goes_into_the_head_is_as_of_the_whole_batch(tokens, body_tokens):
    model = make()
    batch = make_batch(tokens.pieces, np.arange(14)[::-1].copy(), tokens.pieces.firsts)
    ids, rows = torch.from_numpy(batch.ids), torch.from_numpy(batch.rows)
    with torch.no_grad():
        at_once = head_rows(Tail(model), ids, rows)
        sliced = head_rows(Tail(model), ids, rows, body_tokens=body_tokens)
    torch.testing.assert_close(sliced, at_once, atol=1e-5, rtol=1e-5)


def test_scores_are_those_of_each_text_alone(tokens, monkeypatch):
    model = make()
    monkeypatch.setattr(scorer_module, "BODY_TOKENS", 100)
    made = score_model(model, tokens, SETTINGS)
    np.testing.assert_allclose(made.log_likelihoods, plain(model, tokens.ids), atol=1e-3)


def test_what_the_proof_read_is_not_read_again(tokens):
    model = make()
    read: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        told: list[tuple[int, int]] = []
        made = score_model(model, tokens, SETTINGS, progress=lambda *of: told.append(of))
    finally:
        hook.remove()
    longest = int(tokens.lengths.max())
    assert read.count(longest) == 1, "the longest text is read alone once, and then known"
    assert told[-1] == (int(tokens.lengths.sum()),) * 2
    np.testing.assert_allclose(made.log_likelihoods, plain(model, tokens.ids), atol=1e-3)


def test_values_are_taken_over_once():
    kept = ReadAlone(np.array([5, 7, 9]))
    kept.keep(1, -3.5, 0.25)
    values = np.full((1, 3), np.nan)
    assert kept.take_over(values, [0, 1, 2]) == [0, 2]
    assert values[0, 1] == -3.5
    assert np.isnan(values[0, [0, 2]]).all()
    assert (kept.pieces, kept.tokens, kept.seconds) == ([1], 7, 0.25)
    assert kept.take_over(values, [1]) == [1]
    assert (kept.pieces, kept.tokens, kept.seconds) == ([], 0, 0.0)


def test_tokens_and_seconds_of_what_the_proof_read_count(tokens):
    two = replace(tokens, ids=tokens.ids[:2], ends=tokens.ends[:2], bytes=tokens.bytes[:2])
    made = score_model(make(), two, SETTINGS)
    assert made.provenance["tokens_per_second"] > 0


def test_what_a_proof_read_in_other_products_is_read_again(tokens):
    settings, every = ScoringSettings(device="cpu", matmul="bfloat16"), list(range(14))
    with torch.no_grad():
        scorer = Scorer(make(), tokens, settings, "float32", None)
    assert scorer.read_alone.take_over(np.full((1, 14), np.nan), every) == every


def test_slices_do_not_hide_that_rows_change_each_other(tokens, monkeypatch):
    """Long texts are read alone by slices, while short ones share one."""
    model = make()
    own = model.model.forward

    def mixing(*args, **kwargs):
        out = own(*args, **kwargs)
        if len(out.last_hidden_state) > 1:
            mean = out.last_hidden_state[:, :1].mean(dim=0, keepdim=True)
            out.last_hidden_state = out.last_hidden_state + 0.3 * mean
        return out

    monkeypatch.setattr(scorer_module, "BODY_TOKENS", 60)
    expected = plain(model, tokens.ids)
    model.model.forward = mixing
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["batch_policy"] == "one text"
    np.testing.assert_allclose(made.log_likelihoods, expected, atol=1e-3)
