"""Where weights are put while they are read, and what quantised layers compute in."""

from __future__ import annotations

import weakref
from typing import ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.load.load import compute_dtype, load_model
from mlflow_modelmap.scoring.load.loaded_base import LoadedBase, base_key
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests.scoring.reckoning import files_in

GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
BNB = {"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}


@pytest.mark.parametrize(
    ("precision", "device", "config", "dtype"),
    [
        ("nf4", "cuda", {"dtype": "bfloat16"}, torch.bfloat16),
        ("int8", "cuda:1", {"torch_dtype": "bfloat16"}, torch.bfloat16),
        ("nf4", "cuda", {"dtype": "bfloat16", **BNB}, torch.bfloat16),
        ("nf4", "cuda", {"dtype": "float16"}, torch.float16),
        ("nf4", "cuda", {}, torch.float16),
        ("gptq-int4", "cuda", {"dtype": "bfloat16", **GPTQ}, torch.float16),
        ("nf4", "cpu", {"dtype": "bfloat16"}, torch.float32),
        ("float16", "cuda", {"dtype": "bfloat16"}, torch.float16),
    ],
)
def test_layers_in_few_bits_compute_in_what_the_model_is_stored_in(
    precision, device, config, dtype
):
    assert compute_dtype(precision, device, config) is dtype


@pytest.fixture
def asked(monkeypatch):
    """The device maps that transformers was asked for; the weights stay where they are."""
    asked, own = [], AutoModelForCausalLM.from_pretrained

    def from_pretrained(path, **options):
        asked.append(options.pop("device_map", None))
        model, info = own(path, **options)
        model.to = lambda device: model
        return model, info

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    return asked


def test_weights_go_straight_to_a_cuda_device(tiny_model, asked):
    settings = ScoringSettings()
    for device in ("cuda:1", "cuda", "cpu", "mps"):
        load_model(tiny_model, "float32", device, settings)
    assert asked == [{"": "cuda:1"}, {"": "cuda"}, None, None]


def test_a_base_that_waits_for_its_adapters_stays_in_memory(tiny_model, asked):
    settings, held = ScoringSettings(device="cpu"), LoadedBase()
    key = base_key(files_in(tiny_model), settings)
    held.expected = key
    load_model(tiny_model, "float32", "cuda", settings, held=(held, key))
    held.expected = None
    held.let_go()
    load_model(tiny_model, "float32", "cuda", settings, held=(held, key))
    assert asked == [None, {"": "cuda"}]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("Allocation on device 0"), RuntimeError("CUDA out of memory.")],
)
def test_weights_that_do_not_fit_are_one_sentence(error, tiny_model, monkeypatch):
    def from_pretrained(path, **options):
        raise error

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(ScoringError, match="does not fit into the memory of cuda; use device_map"):
        load_model(tiny_model, "float32", "cuda", ScoringSettings())


def test_a_model_is_loaded_whole_amid_a_training_with_zero_3(tiny_model, monkeypatch):
    """transformers would enter collective operations of DeepSpeed, in this process alone."""
    from transformers.integrations import deepspeed

    class Config:
        config: ClassVar[dict] = {}

        def is_zero3(self):
            return True

    training = Config()
    monkeypatch.setattr(deepspeed, "_hf_deepspeed_config_weak_ref", weakref.ref(training))
    assert deepspeed.is_deepspeed_zero3_enabled()
    model = load_model(tiny_model, "float32", "cpu", ScoringSettings())
    assert all(parameter.numel() for parameter in model.parameters())
    assert deepspeed.is_deepspeed_zero3_enabled()
