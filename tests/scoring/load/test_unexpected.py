"""Weights that the model of a config.json has no place for are named, harmless ones are not."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.load.unexpected import check_all_taken
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests import tiny


def _load(path):
    return load_model(path, "float32", "cpu", ScoringSettings())


def test_biases_whose_key_was_lost_from_the_configuration(tmp_path):
    tiny.make_model(tmp_path, "llama", attention_bias=True)
    _load(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config.pop("attention_bias")
    path.write_text(json.dumps(config))
    with pytest.raises(ScoringError, match=r"layers.0.self_attn.k_proj.bias.*attention_bias"):
        _load(tmp_path)


def test_scales_whose_quantization_config_was_lost(tmp_path):
    tiny.make_model(tmp_path, "llama")
    weights = load_file(tmp_path / "model.safetensors")
    for name in list(weights):
        if name.endswith("q_proj.weight"):
            weights[name + "_scale_inv"] = torch.ones(1, 1)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ScoringError, match=r"weight_scale_inv.*its quantization_config"):
        _load(tmp_path)


def test_known_harmless_ones_are_let_by():
    check_all_taken(
        "somewhere",
        [
            *("gpt_neox.layers.0.attention.bias", "transformer.h.0.attn.masked_bias"),
            *("model.layers.0.self_attn.rotary_emb.inv_freq", "v_head.summary.weight"),
            "embeddings.position_ids",
        ],
    )


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.self_attn.q_proj.bias", "model.layers.2.mlp.up_proj.weight", "score.weight"],
)
def test_anything_else_is_named(name):
    with pytest.raises(ScoringError, match=name):
        check_all_taken("somewhere", [name])
