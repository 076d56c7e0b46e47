"""Checkpoints that torchao and compressed-tensors wrote: scored and called what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
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
    read, by_hand = (open_checkpoint(path).parameters for path in (stored, tmp_path / "rounded"))
    assert read.keys() == by_hand.keys()
    for name, tensor in read.items():
        np.testing.assert_allclose(tensor.values(), by_hand[name].values(), rtol=1e-6, atol=1e-9)


SCHEMES = {
    "int4": ("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 32}),
    "int4 asymmetric": (
        "pack-quantized",
        {"num_bits": 4, "strategy": "group", "group_size": 32, "symmetric": False},
    ),
    "fp8": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
    "nvfp4": (
        "nvfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    ),
    "mxfp4": (
        "mxfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32},
    ),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_those_that_compressed_tensors_makes_of_them(scheme, tmp_path):
    pytest.importorskip("compressed_tensors", reason="pip install compressed-tensors")
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    form, how = SCHEMES[scheme]
    weights = QuantizationArgs(**how)
    torch.manual_seed(0)
    matrix = torch.randn(48, 128)
    grouped = matrix if weights.group_size is None else matrix.reshape(-1, weights.group_size)
    low, high = (end.reshape(48, -1) for end in (grouped.amin(1), grouped.amax(1)))
    largest = torch.maximum(-low, high)
    given = {"weight": matrix, "weight_scale": largest / (448 if scheme == "fp8" else 6)}
    if not weights.symmetric:
        scale = (high - low) / 15
        zeros = (-8 - low / scale).round().clamp(-8, 7).to(torch.int8)
        given |= {"weight_scale": scale, "weight_zero_point": zeros}
    if scheme == "nvfp4":
        whole = 448 * 6 / largest.max().reshape(1)
        given |= {"weight_scale": given["weight_scale"] * whole, "weight_global_scale": whole}
    compressor = BaseCompressor.get_value_from_registry(form)
    of_weights = QuantizationScheme(targets=["Linear"], weights=weights)
    stored = compressor.compress(given, of_weights)
    save_file({f"q.{name}": t for name, t in stored.items()}, tmp_path / "model.safetensors")
    read = open_checkpoint(tmp_path).parameters["q.weight"].values().reshape(48, 128)
    made = compressor.decompress(stored, of_weights)["weight"]
    # NVFP4 and MXFP4 are handed out rounded to bfloat16.
    tolerance = 2.0**-8 if scheme.endswith("fp4") else 1e-6
    np.testing.assert_allclose(read, made.double(), rtol=tolerance, atol=1e-9)
    assert 0 < np.abs(read - matrix.numpy()).mean() < 0.5 * matrix.abs().mean()
