"""Memory that runs out: every wording is known, and what the batch had made is gone by then."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.scoring.accelerator import memory
from mlflow_modelmap.scoring.accelerator.memory import give_back, in_training, out_of_memory
from mlflow_modelmap.scoring.engine import scorer as scorers
from mlflow_modelmap.scoring.engine.live import score_live
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests.scoring.reckoning import score


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("Allocation on device"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.10 GiB total)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate`"),
        RuntimeError("CUDA error: HIPBLAS_STATUS_NOT_INITIALIZED when calling `hipblasCreate`"),
        RuntimeError("HIP error: hipErrorOutOfMemory"),
        RuntimeError("miopenStatusAllocFailed"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_every_wording_is_known(error):
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("the tokenizer is out of memory"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not out_of_memory(error)


def test_what_a_batch_had_made_is_gone_before_memory_is_given_back(tiny_model, texts, monkeypatch):
    own, given = Tail.head_input, []
    held: list[weakref.ref[torch.Tensor]] = []

    def short_of_memory(self, ids, cache=None):
        activations = torch.ones(10)
        if ids.numel() > 100:
            held.append(weakref.ref(activations))
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return own(self, ids, cache)

    def look() -> None:
        gc.disable()  # what is gone is gone by itself
        given.append(held[-1]() is None)
        gc.enable()

    base = score(tiny_model, texts).log_likelihoods
    monkeypatch.setattr(Tail, "head_input", short_of_memory)
    monkeypatch.setattr(scorers, "give_back", look)
    result = score(tiny_model, texts, batch_tokens=500)
    assert int(result.provenance["batch_tokens"]) <= 250, "as many as did fit"
    assert given
    assert all(given)
    np.testing.assert_allclose(result.log_likelihoods, base, atol=1e-4, rtol=0)


def test_a_trainings_cached_blocks_are_left_alone(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    with in_training():
        assert memory.of_a_training()
        give_back()
    assert not emptied
    assert not memory.of_a_training()
    give_back()
    assert emptied == [1]


def test_only_a_model_of_our_own_is_run_in_inference_mode(tiny_model, texts, monkeypatch):
    modes, own = [], Tail._call

    def call(self, ids, cache=None):
        modes.append(torch.is_inference_mode_enabled())
        return own(self, ids, cache)

    monkeypatch.setattr(Tail, "_call", call)
    score(tiny_model, texts)
    assert set(modes) == {True}
    modes.clear()
    model = AutoModelForCausalLM.from_pretrained(tiny_model).train()
    tokens = tokenize(tiny_model, texts, ScoringSettings())
    result = score_live(model, tokens, ScoringSettings())
    assert set(modes) == {False}
    assert result.provenance["batch_tokens"] == 2048
    model(torch.from_numpy(tokens.ids[0])[None]).logits.sum().backward()
    assert tokens.lengths is tokens.lengths  # counted once
    np.testing.assert_array_equal(tokens.lengths, [len(ids) for ids in tokens.ids])
