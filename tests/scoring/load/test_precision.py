"""Precision, device and configuration are settled without loading a model."""

from __future__ import annotations

import pytest
import torch

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import position_limit, read_config, stored_dtype
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests import tiny

HALF = {"model_type": "llama", "dtype": "bfloat16"}


def test_auto_is_float32_on_cpu():
    assert resolve(ScoringSettings(device="cpu"), HALF) == ("float32", "cpu")


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        (HALF, "bfloat16"),
        ({"model_type": "llama", "torch_dtype": "float16"}, "float16"),
        ({"model_type": "x", "text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"model_type": "llama", "dtype": "float32"}, "float32"),
        ({"model_type": "llama"}, "float32"),
    ],
)
def test_auto_is_the_stored_precision_on_an_accelerator(config, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve(ScoringSettings(), config) == (precision, "cuda")
    assert resolve(ScoringSettings(device="cuda:1"), config) == (precision, "cuda:1")
    with pytest.raises(InputError, match="only 2 CUDA devices; choose cuda:0 to cuda:1"):
        resolve(ScoringSettings(device="cuda:2"), config)


def test_what_is_asked_for_is_what_is_taken():
    settings = ScoringSettings(precision="nf4", device="cpu")
    assert resolve(settings, HALF) == ("nf4", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_cuda_where_there_is_none_is_one_sentence(device):
    with pytest.raises(InputError, match="PyTorch sees no CUDA device here"):
        resolve(ScoringSettings(device=device), HALF)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", "tpu:0", ""])
def test_unknown_devices_are_refused(device):
    with pytest.raises(InputError, match="Unknown device"):
        resolve(ScoringSettings(device=device), HALF)


@pytest.mark.parametrize(
    ("architecture", "limit"), [("gpt_neox", 256), ("gpt2", 256), ("opt", 256), ("llama", 256)]
)
def test_the_limit_of_positions_is_read_from_the_configuration(architecture, limit, tmp_path):
    tiny.make_config(architecture).save_pretrained(tmp_path)
    assert position_limit(read_config(tmp_path)) == limit


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "mamba", "max_position_embeddings": 5}, None),
        ({"model_type": "mpt", "max_seq_len": 2048}, 2048),
        ({"model_type": "bloom", "seq_length": 5}, None),
        ({"model_type": "x", "text_config": {"max_position_embeddings": 9}}, 9),
        ({"model_type": "x", "max_position_embeddings": -1}, None),
    ],
)
def test_limits_of_other_families(config, limit):
    assert position_limit(config) == limit


def test_the_dtype_a_model_was_saved_in(tmp_path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(tiny.make_config("gpt_neox"))
    model.to(torch.float16).save_pretrained(tmp_path)
    assert stored_dtype(read_config(tmp_path)) == "float16"


def test_a_configuration_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match=r"holds no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_config(tmp_path)
