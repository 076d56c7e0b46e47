"""Slices: a batch goes through the body a few texts at a time, and through the head at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.engine import slices
from mlflow_modelmap.scoring.engine.batches import make_batch
from mlflow_modelmap.scoring.engine.score_texts import score_model
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
    monkeypatch.setattr(slices, "BODY_TOKENS", 100)
    made = score_model(model, tokens, SETTINGS)
    np.testing.assert_allclose(made.log_likelihoods, plain(model, tokens.ids), atol=1e-3)


def test_the_last_layer_read_out_is_the_plain_score_to_the_bit(tokens, monkeypatch):
    model = make()
    monkeypatch.setattr(slices, "BODY_TOKENS", 100)
    of_layers = score_model(model, tokens, replace(SETTINGS, layers=True))
    np.testing.assert_array_equal(
        of_layers.log_likelihoods, score_model(model, tokens, SETTINGS).log_likelihoods
    )


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

    monkeypatch.setattr(slices, "BODY_TOKENS", 60)
    expected = plain(model, tokens.ids)
    model.model.forward = mixing
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["batch_policy"] == "one text"
    np.testing.assert_allclose(made.log_likelihoods, expected, atol=1e-3)
