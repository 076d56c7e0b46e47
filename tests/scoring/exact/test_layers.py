"""Exact divergences of layers from the last: equal to a double sum over the model's own states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.exact.layers import compare_layers
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests.scoring import architectures

SETTINGS = ScoringSettings(device="cpu", batch_tokens=100)


def llama(model, state):
    return model.lm_head(model.model.norm(state))


def gemma2(model, state):
    return 5.0 * torch.tanh(model.lm_head(model.model.norm(state)) / 5.0)


@pytest.mark.parametrize(("name", "tail"), [("llama", llama), ("gemma2", gemma2)])
def test_layers_differ_from_the_last_as_a_double_sum_says(name, tail, tmp_path, texts):
    path = architectures.make(tmp_path / "model", name, 1, num_hidden_layers=3)
    tokens = tokenize(path, texts, SETTINGS)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).train()
    found = compare_layers(model, tokens, SETTINGS, precision="float32")
    assert model.training
    assert found.forward.shape == (3, len(texts))

    model.eval().double()
    right = {key: np.zeros((3, len(texts))) for key in ("forward", "reverse", "js", "agree")}
    for text, ids in enumerate(tokens.ids):
        with torch.no_grad():
            out = model(torch.tensor(ids)[None], output_hidden_states=True, use_cache=False)
            scored = slice(tokens.first - 1, len(ids) - 1)
            p = out.logits[0, scored].log_softmax(-1).numpy()
            lower = [tail(model, h)[0, scored] for h in out.hidden_states[:3]]
        for layer, logits in enumerate(lower):
            q = logits.log_softmax(-1).numpy()
            m = np.logaddexp(p, q) - np.log(2)
            right["forward"][layer, text] = (np.exp(p) * (p - q)).sum()
            right["reverse"][layer, text] = (np.exp(q) * (q - p)).sum()
            right["js"][layer, text] = (np.exp(p) * (p - m) + np.exp(q) * (q - m)).sum() / 2
            right["agree"][layer, text] = (p.argmax(1) == q.argmax(1)).sum()
    assert (right["forward"].mean(1) > 1e-2).all()
    assert not np.allclose(right["forward"], right["reverse"], rtol=1e-2)
    for key in ("forward", "reverse", "js"):
        got = getattr(found, key)
        np.testing.assert_allclose(got.sum(1), right[key].sum(1), rtol=1e-6)
        np.testing.assert_allclose(got, right[key], rtol=5e-5)
    np.testing.assert_array_equal(found.agree, right["agree"])


def test_blocks_of_rows_change_nothing(tiny_model, texts, monkeypatch):
    tokens = tokenize(tiny_model, texts, SETTINGS)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    whole = compare_layers(model, tokens, SETTINGS, precision="float32")
    monkeypatch.setattr("mlflow_modelmap.scoring.exact.layers.REPLAY_ROWS", 7)
    parts = compare_layers(model, tokens, SETTINGS, precision="float32")
    np.testing.assert_allclose(parts.forward, whole.forward, rtol=1e-5)
    np.testing.assert_array_equal(parts.agree, whole.agree)


def test_a_head_that_is_no_product_is_refused(tiny_model, texts, monkeypatch):
    tokens = tokenize(tiny_model, texts, SETTINGS)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    monkeypatch.setattr("mlflow_modelmap.scoring.engine.prove._tiled", lambda *_: None)
    with pytest.raises(InputError, match="no plain matrix product"):
        compare_layers(model, tokens, SETTINGS, precision="float32")
