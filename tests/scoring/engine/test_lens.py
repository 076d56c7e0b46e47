"""The logit lens: exact at the last layer, and at an inner one what a model cut there would say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.tail import Tail, decoder_layers
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests.scoring import architectures
from tests.scoring.endings import BentEnd, MixedEnd, ending_as
from tests.scoring.reckoning import in_float64, score

# What a family needs besides a smaller count of layers to be cut to its first layer.
CUT = {
    "gpt_neo": {
        "num_layers": 1,
        "attention_types": [[["global"], 1]],
        "attention_layers": ["global"],
    },
    "mpt": {"n_layers": 1},
    "gpt2": {"n_layer": 1},
    "gptj": {"n_layer": 1},
    "codegen": {"n_layer": 1},
    "gpt_bigcode": {"n_layer": 1},
    "bloom": {"n_layer": 1},
    "xglm": {"num_layers": 1},
}
# Their last layer is not like the others, or cannot be told to be fewer.
NOT_CUT = {"rwkv"}
QUICK = {
    "gpt_neox",
    "llama",
    "gpt2",
    "gemma2",
    "gemma3_text",
    "opt",
    "opt with projection",
    "qwen2",
    "qwen3",
    "mixtral",
    "phi",
    "phi3",
    "gptj",
    "gpt_neo",
    "falcon",
    "bloom",
    "mpt",
    "cohere",
    "granite",
    "olmo2",
    "stablelm",
    "mamba",
}


def some(names: Iterable[str]) -> list[Any]:
    """All architectures, those outside `QUICK` marked slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", some(architectures.ARCHITECTURES))
def test_the_last_layer_is_the_model_itself(name, tmp_path, texts):
    path = architectures.make(tmp_path / "model", name)
    own = score(path, texts)
    lens = score(path, texts, layers=True, batch_tokens=150)
    assert lens.layer_log_likelihoods.shape == (3, len(texts))
    assert lens.provenance["layers"] == 2
    last = lens.layer_log_likelihoods[-1]
    np.testing.assert_allclose(last, own.log_likelihoods, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(lens.log_likelihoods, last)
    # Each layer says something else.
    for row in lens.layer_log_likelihoods[:-1]:
        assert np.abs(row - last).max() > 0.1


@pytest.mark.parametrize("name", some(sorted(set(architectures.ARCHITECTURES) - NOT_CUT)))
def test_an_inner_layer_is_a_model_cut_there(name, tmp_path, texts):
    path = architectures.make(tmp_path / "model", name)
    lens = score(path, texts, layers=True)
    changes = CUT.get(name, {"num_hidden_layers": 1})
    if "layer_types" in AutoModelForCausalLM.from_pretrained(path).config.to_dict():
        kinds = AutoModelForCausalLM.from_pretrained(path).config.layer_types
        changes = {**changes, "layer_types": kinds[:1]} if kinds else changes
    cut = in_float64(path, texts, **changes)
    np.testing.assert_allclose(lens.layer_log_likelihoods[1], cut, atol=1e-3, rtol=0)


def test_the_lens_of_a_bent_head_is_replayed(tiny_model, texts):
    settings = ScoringSettings(layers=True)
    tokens = tokenize(tiny_model, texts, settings)
    lens = score_model(ending_as(BentEnd, tiny_model), tokens, settings)
    assert lens.provenance["head"] == "replayed"
    cut_model = ending_as(BentEnd, tiny_model, num_hidden_layers=1)
    cut = score_model(cut_model, tokens, ScoringSettings())
    np.testing.assert_allclose(
        lens.layer_log_likelihoods[1], cut.log_likelihoods, atol=1e-4, rtol=0
    )


def test_a_tail_that_needs_more_than_a_layer_is_refused(tiny_model, texts):
    settings = ScoringSettings(layers=True)
    tokens = tokenize(tiny_model, texts, settings)
    with pytest.raises(ScoringError, match="cannot be run on a layer's output alone"):
        score_model(ending_as(MixedEnd, tiny_model), tokens, settings)


def test_a_model_without_a_list_of_layers_is_refused_with_a_sentence(tiny_model, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.gpt_neox.layers = torch.nn.Sequential(*model.gpt_neox.layers)
    settings = ScoringSettings(layers=True)
    tokens = tokenize(tiny_model, texts, settings)
    with pytest.raises(InputError, match="no list of decoder layers"):
        score_model(model, tokens, settings)
    # Without the lens it is scored all the same.
    assert np.isfinite(score_model(model, tokens, ScoringSettings()).log_likelihoods).all()


def test_a_replay_leaves_the_model_whole(tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    tail, ids = Tail(model), torch.arange(12).reshape(2, 6)
    owner, name, layers = decoder_layers(model)
    with torch.no_grad():
        before = tail.forward(ids)
        states = tail.layer_outputs(ids, torch.arange(12))
        tail.replay(states[0])
        with pytest.raises(RuntimeError):
            tail.replay(states[0][:, :5])
        assert getattr(owner, name) is layers
        torch.testing.assert_close(tail.forward(ids), before, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert len(states) == 3
    assert states[0].shape == (12, 32)


def test_the_documentation_names_every_architecture_checked_here():
    page = (Path(__file__).parents[3] / "docs" / "scoring.md").read_text(encoding="utf-8")
    table = page.split("## Architectures")[1]
    assert [name for name in architectures.ARCHITECTURES if f"| {name} |" not in table] == []
