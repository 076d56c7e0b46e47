"""Scoring: rows of a head on an accelerator - one product into a buffer, which is read once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.accelerator.products import gives_float32, product_into

ROWS, TILE = 2048, 8192
"""Rows and entries of the vocabulary whose logits are there at once: 64 MB of float32."""
BLOCK, WARPS = 4096, 8
KL_BLOCK = 2048
LOWEST = -1e30
"""Below any logit, and finite, so that it can be subtracted."""
RATIO_MOST = 80.0
"""Log-ratios of probabilities beyond it give the Jensen-Shannon divergence nothing in float32."""
_AGREES = 1e-5
"""Nats by which a kernel and the plain way may differ on the tile that it is tried on."""
TRITON = "triton"


@dataclass
class HeadRows:
    """A head ``f(W h + b)`` on an accelerator, and the buffers that its rows use in turn.

    Parameters
    ----------
    weight, bias, scale, cap
        As `TiledHead` has them.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float | None = None
    cap: float | None = None
    _buffers: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    def log_likelihoods(
        self, hidden: torch.Tensor, targets: torch.Tensor, kernels: Any = None
    ) -> torch.Tensor:
        """Log-likelihood of each row's target, nats, float64 (float32 on mps), shape (R,).

        Nothing of it waits for the accelerator. Logits may be of any size: the largest so far is
        taken off.

        Parameters
        ----------
        hidden, targets
            (R, H) and (R,) on the weight's device.
        kernels
            The module `kernels`, or None for PyTorch's own operations.
        """
        parts = zip(hidden.split(ROWS), targets.split(ROWS), strict=True)
        return torch.cat([self._rows(rows, wanted, kernels) for rows, wanted in parts])

    def let_go(self) -> None:
        """Give the buffers' memory back."""
        self._buffers.clear()

    def _rows(self, hidden: torch.Tensor, targets: torch.Tensor, kernels: Any) -> torch.Tensor:
        device, count = self.weight.device, len(hidden)
        wide = torch.float32 if device.type == "mps" else torch.float64
        hidden = hidden.to(self.weight.dtype).contiguous()
        largest = torch.full((count,), LOWEST, dtype=torch.float32, device=device)
        wanted = torch.full((count,), torch.nan, dtype=torch.float32, device=device)
        total = torch.zeros(count, dtype=wide, device=device)
        read = self._read_plain if kernels is None else self._reader(kernels)
        for start in range(0, len(self.weight), TILE):
            tile = self.weight[start : start + TILE]
            logits = self._buffer("logits", count * len(tile)).view(count, len(tile))
            product_into(hidden, tile, logits, self._wide_tile())
            read(logits, start, targets, largest, total, wanted)
        return wanted.to(wide) - (largest.to(wide) + total.log())

    def _read_plain(
        self,
        logits: torch.Tensor,
        start: int,
        targets: torch.Tensor,
        largest: torch.Tensor,
        total: torch.Tensor,
        wanted: torch.Tensor,
    ) -> None:
        width = logits.shape[1]
        if self.bias is not None:
            logits += self.bias[start : start + width]
        if self.scale is not None:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        place = targets - start
        here = (place >= 0) & (place < width)
        found = logits.gather(1, place.clamp(0, width - 1).unsqueeze(1)).squeeze(1)
        wanted.copy_(torch.where(here, found, wanted))
        higher = torch.maximum(largest, logits.amax(dim=1))
        total.mul_((largest - higher).exp())
        total.add_(logits.sub_(higher.unsqueeze(1)).exp_().sum(dim=1))
        largest.copy_(higher)

    def _reader(self, kernels: Any) -> Callable[..., None]:
        scale = 1.0 if self.scale is None else float(self.scale)
        cap = 0.0 if self.cap is None else float(self.cap)

        def read(
            logits: torch.Tensor,
            start: int,
            targets: torch.Tensor,
            largest: torch.Tensor,
            total: torch.Tensor,
            wanted: torch.Tensor,
        ) -> None:
            with _current(logits.device):
                kernels.read_tile[(len(logits),)](
                    logits,
                    logits.shape[1],
                    start,
                    logits if self.bias is None else self.bias,
                    targets,
                    largest,
                    total,
                    wanted,
                    scale,
                    cap,
                    BIAS=self.bias is not None,
                    CAP=self.cap is not None,
                    BLOCK=BLOCK,
                    num_warps=WARPS,
                )

        return read

    def _wide_tile(self) -> torch.Tensor | None:
        """Room for a tile of the weight in float32, where products need it so."""
        dtype = self.weight.dtype
        if dtype.itemsize != 2 or gives_float32(self.weight.device, dtype):
            return None
        return self._buffer("weight", min(TILE, len(self.weight)) * self.weight.shape[1])

    def _buffer(self, name: str, size: int) -> torch.Tensor:
        if name not in self._buffers or self._buffers[name].numel() < size:
            self._buffers.pop(name, None)
            with torch.inference_mode(False):  # so that both kinds of pass can write to it
                self._buffers[name] = torch.empty(
                    size, dtype=torch.float32, device=self.weight.device
                )
        return self._buffers[name][:size]


def _current(device: torch.device) -> Any:
    """Kernels are launched on the current device, which need not be where the tensors lie."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def row_divergences(p: torch.Tensor, q: torch.Tensor, kernels: Any) -> tuple[torch.Tensor, ...]:
    """Forward, reverse, Jensen-Shannon divergence, both log-normalisers, agreement; each (R,).

    Parameters
    ----------
    p, q
        Logits, float32, contiguous, shape (R, V), on one device.
    """
    found = torch.empty(5, len(p), dtype=torch.float64, device=p.device)
    agree = torch.empty(len(p), dtype=torch.int8, device=p.device)
    with _current(p.device):
        kernels.divergences[(len(p),)](
            p, q, p.shape[1], *found, agree, RATIO_MOST, BLOCK=KL_BLOCK, num_warps=WARPS
        )
    return (*found, agree.bool())


def kernels_for(device: torch.device) -> Any:
    """The module `kernels` if it can be used on a device, else None; `kernels_said` says why."""
    return _tried(str(device))[0] if device.type == "cuda" else None


def kernels_said(device: torch.device) -> str:
    """``triton``, or ``plain`` and why, for a score's record."""
    return _tried(str(device))[1] if device.type == "cuda" else "plain"


@cache
def _tried(device: str) -> tuple[Any, str]:
    """Kernels are held against the plain way on a small tile, before anything relies on them."""
    try:
        from mlflow_modelmap.scoring.accelerator import kernels

        worst = disagreement(kernels, torch.device(device))
    except Exception as error:
        if out_of_memory(error):
            raise
        said = str(error).strip().splitlines() or [""]
        return None, f"plain: {type(error).__name__} {said[0][:80]}".rstrip()
    if not worst < _AGREES:
        return None, f"plain: the kernel differs by {worst:.1e} nats"
    return kernels, TRITON


def disagreement(kernels: Any, device: torch.device) -> float:
    """Nats by which kernels and the plain way differ at most, on a small tile of each kind."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 32, generator=generator) for n in (6, 5003))
    bias = torch.randn(5003, generator=generator).to(device)
    targets = torch.tensor([0, 1, 4095, 4096, 5001, 5002], device=device)
    hidden, weight = hidden.to(device), weight.to(device)
    worst = 0.0
    for after in ({}, {"bias": bias, "scale": 0.5}, {"bias": bias, "cap": 20.0}):
        head = HeadRows(weight, **after)  # type: ignore[arg-type]
        plain, read = (head.log_likelihoods(hidden, targets, one) for one in (None, kernels))
        worst = max(worst, float((plain - read).abs().nan_to_num(torch.inf).max()))
    p, q = hidden @ weight.T, (hidden * 1.01) @ weight.T
    log_p, log_q = p.double().log_softmax(1), q.double().log_softmax(1)
    forward = (log_p.exp() * (log_p - log_q)).sum(1)
    found = row_divergences(p.contiguous(), q.contiguous(), kernels)[0]
    return max(worst, float((forward - found).abs().nan_to_num(torch.inf).max()))
