"""Exact comparisons of texts in windows: a double sum over the windows, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.exact.layers import compare_layers
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize

LIMIT, STRIDE = 24, 10
SETTINGS = ScoringSettings(device="cpu", batch_tokens=100, overlong="window", stride=STRIDE)


@pytest.fixture
def models(tiny_models):
    return [tiny_models("llama", seed, bos=True, max_position_embeddings=LIMIT) for seed in (1, 2)]


@pytest.fixture
def tokens(models):
    texts = TextSet("some", ("a short one", "a lazy fox 京都 " * 9, "and " * 40, "the end of it"))
    return tokenize(models[0], texts, SETTINGS, LIMIT)


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def log_softmax_of(path, ids):
    """What the model says of each scored token of a text, in float64, window by window."""
    model, rows, done, begin = load(path).double(), [], 1, 1
    while done < len(ids):
        window = [ids[0], *ids[begin : begin + LIMIT - 1]]
        with torch.no_grad():
            logits = model(torch.tensor([window]), use_cache=False).logits[0].log_softmax(-1)
        rows.append(logits[done - begin : len(window) - 1])
        done, begin = begin + len(window) - 1, begin + STRIDE
    return torch.cat(rows).numpy()


def test_divergences_are_sums_over_windows(models, tokens, tmp_path):
    assert tokens.pieces.windowed == 2
    first, second = models
    states = keep_head_states(load(first), tokens, SETTINGS, tmp_path, precision="float32")
    found = compare_with_states(states, load(second), tokens, SETTINGS, precision="float32")
    told = 0
    for text, ids in enumerate(tokens.ids):
        p, q = (log_softmax_of(path, ids.tolist()) for path in models)
        assert len(p) == found.tokens[text] == len(ids) - 1
        at = slice(told, told + len(p))
        np.testing.assert_allclose(found.forward[at], (np.exp(p) * (p - q)).sum(1), atol=1e-4)
        np.testing.assert_allclose(found.reverse[at], (np.exp(q) * (q - p)).sum(1), atol=1e-4)
        np.testing.assert_allclose(found.first[at], p[np.arange(len(p)), ids[1:]], atol=1e-4)
        told += len(p)
    for one in found.most:
        ids = tokens.ids[one.text]
        assert one.token == ids[1 + one.position]
        assert one.context[-1] == ids[one.position]
    assert {one.text for one in found.most} & {1, 2}


@torch.no_grad()
def test_layers_are_sums_over_windows(models, tokens):
    model = load(models[0])
    found = compare_layers(model, tokens, SETTINGS, precision="float32")
    right = np.zeros((2, len(tokens)))
    model.double()
    for text, ids in enumerate(tokens.ids):
        done, begin = 1, 1
        while done < len(ids):
            window = [ids[0], *ids[begin : begin + LIMIT - 1]]
            out = model(torch.tensor([window]), output_hidden_states=True, use_cache=False)
            scored = slice(done - begin, len(window) - 1)
            p = out.logits[0, scored].log_softmax(-1)
            for layer, state in enumerate(out.hidden_states[:2]):
                q = model.lm_head(model.model.norm(state))[0, scored].log_softmax(-1)
                right[layer, text] += float((p.exp() * (p - q)).sum())
            done, begin = begin + len(window) - 1, begin + STRIDE
    np.testing.assert_allclose(found.forward, right, rtol=5e-5, atol=1e-3)
