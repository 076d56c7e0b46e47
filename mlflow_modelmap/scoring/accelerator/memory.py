"""Scoring: memory that runs out, in every wording of it, and what is given back then."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_SAID = re.compile(
    r"out of memory"  # CUDA, HIP, MPS, XPU, and errors of kernels that come later
    r"|OUT_OF_(DEVICE|HOST)_MEMORY"
    r"|(CU|HIP)(BLAS|BLASLT|DNN|SOLVER|SPARSE|FFT)_(STATUS_)?ALLOC_FAILED"
    r"|CUDNN_STATUS_INTERNAL_ERROR_(DEVICE|HOST)_ALLOCATION_FAILED"
    r"|hipErrorOutOfMemory|miopenStatusAllocFailed"
    r"|(CU|HIP)(BLAS|DNN)_STATUS_NOT_INITIALIZED"  # a handle for which there was no room
    r"|can't allocate memory|not enough memory|cannot allocate memory|std::bad_alloc"
    r"|Invalid buffer size",  # mps, for a buffer larger than all memory
    re.IGNORECASE,
)
_LIVE: ContextVar[bool] = ContextVar("live", default=False)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is memory running out, on an accelerator or on CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def give_back() -> None:
    """Let go of what nobody holds; call it outside the `except` whose traceback holds tensors.

    A training's cached blocks stay with it: PyTorch frees them by itself before it gives up.
    """
    gc.collect(1)  # what an exception holds is young; the whole heap takes seconds
    if torch.cuda.is_available() and not _LIVE.get():
        torch.cuda.empty_cache()


@contextmanager
def in_training() -> Iterator[None]:
    """Inside, the model and the accelerator's memory belong to a training that goes on."""
    token = _LIVE.set(True)
    try:
        yield
    finally:
        _LIVE.reset(token)


def of_a_training() -> bool:
    """Whether it is a training's model that is run just now."""
    return _LIVE.get()
