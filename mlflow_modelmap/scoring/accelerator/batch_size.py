"""Scoring: how many tokens a batch holds where nobody says so, by what a first one took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from mlflow_modelmap.scoring.accelerator.memory import of_a_training

PLAIN, CUDA = 2048, 16_384
"""Tokens a batch on a processor, mps or beside a training; and on CUDA, if memory allows."""
SHARE = 0.8
"""Of the memory that is free, how much a batch may take."""


def wanted_tokens(given: int | None, device: torch.device) -> int:
    """What was asked for, or what is usual on a device."""
    if given is not None:
        return given
    return CUDA if device.type == "cuda" and not of_a_training() else PLAIN


def measured_tokens(wanted: int, tokens: int, taken: int, free: int) -> int:
    """The largest batch of at most `wanted` tokens for which there is memory.

    Parameters
    ----------
    wanted
        Tokens that it should have.
    tokens, taken
        Of a batch that went through: its tokens, and the bytes that it took at most beside what
        was there before.
    free
        Bytes that are free.
    """
    each = max(1.0, taken / max(tokens, 1))
    return max(min(wanted, PLAIN), min(wanted, int(SHARE * free / each)))


class FirstBatch:
    """Measures what the first batch takes on the CUDA devices that a model lies on.

    Parameters
    ----------
    devices
        Their numbers.
    """

    def __init__(self, devices: Iterable[int]) -> None:
        self._devices = sorted(devices)
        self._before: dict[int, int] = {}

    @classmethod
    def of(cls, model: Any) -> FirstBatch | None:
        """For a model; None if it lies elsewhere, or its memory is a training's."""
        tensors = (*model.parameters(), *model.buffers())
        devices = {t.device.index or 0 for t in tensors if t.device.type == "cuda"}
        there = devices and torch.cuda.is_available() and not of_a_training()
        return cls(devices) if there else None

    def at_most(self, budget: int) -> int:
        """Tokens of the first batch."""
        return min(budget, PLAIN)

    def begin(self) -> None:
        """Just before the batch."""
        for device in self._devices:
            torch.cuda.reset_peak_memory_stats(device)
            self._before[device] = torch.cuda.memory_allocated(device)

    def tokens(self, wanted: int, tokens: int) -> int:
        """Just after it: the size of those that follow, as `measured_tokens`."""
        for device in self._devices:
            taken = torch.cuda.max_memory_allocated(device) - self._before[device]
            kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            free = torch.cuda.mem_get_info(device)[0] + kept
            wanted = measured_tokens(wanted, tokens, taken, free)
        return wanted
