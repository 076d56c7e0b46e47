"""Checkpoints that torchao and compressed-tensors wrote: scored and called what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests import tiny
from tests.scoring.reckoning import in_float64

pytestmark = [pytest.mark.heavy, pytest.mark.slow]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny.make_model(
        tmp_path_factory.mktemp("plain"), "llama", hidden_size=64, intermediate_size=128
    )


def _rounded(plain, path):
    """The model with each row of its linear layers rounded to 8 bits, by hand."""
    model = AutoModelForCausalLM.from_pretrained(plain)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
                scale = module.weight.abs().amax(1, keepdim=True) / 127.5
                module.weight.copy_((module.weight / scale).round().clamp(-128, 127) * scale)
    model.save_pretrained(path)
    tiny.make_tokenizer(path)
    return path


def test_torchao(plain, tmp_path, texts):
    quantization = pytest.importorskip("torchao.quantization", reason="pip install torchao")
    from transformers import TorchAoConfig

    model = AutoModelForCausalLM.from_pretrained(
        plain,
        quantization_config=TorchAoConfig(quantization.Int8WeightOnlyConfig()),
        dtype=torch.float32,
        device_map="cpu",
    )
    model.save_pretrained(tmp_path / "stored")
    tiny.make_tokenizer(tmp_path / "stored")
    made = score_texts(local_files(tmp_path / "stored"), texts, ScoringSettings())
    expected = in_float64(_rounded(plain, tmp_path / "rounded"), texts)
    np.testing.assert_allclose(made.log_likelihoods, expected, atol=0.05)
    assert np.abs(made.log_likelihoods - in_float64(plain, texts)).max() > 0.1
    assert made.provenance["precision"] == "torchao-int8weightonly"


def test_compressed_tensors(plain, tmp_path, texts):
    pytest.importorskip("compressed_tensors", reason="pip install compressed-tensors")
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
    )

    model = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    weights = QuantizationArgs(num_bits=8, symmetric=True, strategy="channel")
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    config = QuantizationConfig(
        config_groups={"group_0": scheme}, ignore=["lm_head"], quantization_status="frozen"
    )
    apply_quantization_config(model, config)
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            module.weight_scale.data = module.weight.abs().amax(1, keepdim=True) / 127.5
            if hasattr(module, "weight_zero_point"):
                module.weight_zero_point.data.zero_()
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    stored = tmp_path / "stored"
    model.save_pretrained(stored)
    tiny.make_tokenizer(stored)
    compressor.update_config(stored)
    made = score_texts(local_files(stored), texts, ScoringSettings())
    expected = in_float64(_rounded(plain, tmp_path / "rounded"), texts)
    np.testing.assert_allclose(made.log_likelihoods, expected, atol=0.05)
    assert made.provenance["precision"] == "compressed-int8"
