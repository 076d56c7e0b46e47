"""Scoring: copies to an accelerator and back that nobody waits for but once a batch, late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def to_device(parts: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Arrays of int64 on a device; to CUDA in one copy from pinned memory that runs on its own."""
    tensors = [torch.from_numpy(part) for part in parts]
    if device.type == "cpu":
        return tuple(tensors)
    flat = sent(torch.cat([tensor.reshape(-1) for tensor in tensors]), device)
    shapes = [tensor.shape for tensor in tensors]
    pieces = flat.split([shape.numel() for shape in shapes])
    return tuple(piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True))


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the processor's on a device; to CUDA from pinned memory, and nobody waits."""
    pins = _pins(device) and tensor.device.type == "cpu"
    if pins:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=pins)  # elsewhere it would be read after it is freed


def _pins(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_available()


class Late:
    """Values of a batch's scored tokens on their way from an accelerator.

    Parameters
    ----------
    values
        Nats, shape (layers, R).
    owners
        Which of the batch's pieces each token belongs to, int64, shape (R,).
    count
        How many pieces there are.
    """

    def __init__(self, values: torch.Tensor, owners: np.ndarray, count: int) -> None:
        self._owners, self._count = owners, count
        self._arrived: torch.cuda.Event | None = None
        self._values = values
        if _pins(values.device):
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            with torch.cuda.device(values.device):
                self._arrived = torch.cuda.Event()
                self._arrived.record()

    def sums(self) -> np.ndarray:
        """Log-likelihoods of the pieces, float64, shape (layers, count); waits for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        values = self._values.cpu().numpy()
        return np.stack([np.bincount(self._owners, row, self._count) for row in values])


class LateReader:
    """Writes what batches gave into an array, one batch behind on an accelerator.

    Parameters
    ----------
    into
        Float64, shape (layers, P).
    """

    def __init__(self, into: np.ndarray) -> None:
        self._into = into
        self._waiting: tuple[np.ndarray, Late] | None = None

    def take(self, pieces: np.ndarray, found: np.ndarray | Late) -> None:
        """What a batch of `pieces` gave; the batch before it is read while this one is run."""
        self.finish()
        if isinstance(found, Late):
            self._waiting = pieces, found
        else:
            self._into[:, pieces] = found

    def finish(self) -> None:
        """Read what has not been read yet."""
        if self._waiting is not None:
            pieces, late = self._waiting
            self._waiting = None
            self._into[:, pieces] = late.sums()
