"""Models that read pictures too, scored on their text side: the value is that of plain text."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests import tiny
from tests.scoring.reckoning import plain

TEXT = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
SEEN = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
ROPE = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
}
FAMILIES = {
    "gemma3": {"text_config": TEXT, "vision_config": SEEN},
    "qwen2_5_vl": {
        "text_config": TEXT | tiny.of_the_installed(ROPE),
        "vision_config": {
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [0],
        },
    },
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": SEEN | {"model_type": "clip_vision_model"},
    },
    "mistral3": {
        "text_config": TEXT | {"model_type": "mistral"},
        "vision_config": SEEN | {"model_type": "pixtral"},
    },
    "idefics3": {"text_config": TEXT | {"model_type": "llama"}, "vision_config": SEEN},
    "llama4": {
        "text_config": TEXT
        | {
            "num_local_experts": 2,
            "intermediate_size_mlp": 64,
            "num_experts_per_tok": 1,
            "moe_layers": [0, 1],
        },
        "vision_config": SEEN
        | {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    },
}


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(
            family,
            marks=pytest.mark.skipif(
                family == "llama4" and version("transformers").startswith("5.24."),
                reason="transformers 5.24 itself reads no text with it",
            ),
        )
        for family in FAMILIES
    ],
)
def test_the_text_side_is_scored(family, tmp_path, texts):
    tokenizer = tiny.make_tokenizer(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **FAMILIES[family])
        model = AutoModelForImageTextToText.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(8)
    model.save_pretrained(tmp_path)
    made = score_texts(local_files(tmp_path), texts, ScoringSettings(layers=True, batch_tokens=100))
    expected = plain(model.float(), [tokenizer(text)["input_ids"] for text in texts.texts])
    np.testing.assert_allclose(made.log_likelihoods, expected, atol=1e-3, rtol=0)
    assert made.provenance["head"] == "tiled"
    np.testing.assert_allclose(made.layer_log_likelihoods[-1], made.log_likelihoods, atol=1e-4)
