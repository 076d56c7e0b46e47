"""Scoring: exact divergences of two models' next-token distributions, row by row, from logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mlflow_modelmap.scoring.accelerator.one_read import RATIO_MOST, kernels_for
from mlflow_modelmap.scoring.accelerator.one_read import row_divergences as read_twice

CPU_LOGITS, GPU_LOGITS = 2**24, 2**28
"""Logits of each model that a block of rows may make: 64 MB and 1 GB of float32."""
CPU_TILE, GPU_TILE = 2**18, 2**26
"""Entries that go through the sums at once, so that on CPU they stay in its cache."""


@dataclass(frozen=True, eq=False)
class RowDivergences:
    """What two next-token distributions P and Q differ by at each of R positions.

    Attributes
    ----------
    forward, reverse, js
        KL(P || Q), KL(Q || P) and the Jensen-Shannon divergence in nats, float64, shape (R,).
    first, second
        Log-probability of the token that follows under P and under Q, nats, float64, shape (R,).
    agree
        Whether both find the same token likeliest, bool, shape (R,).
    """

    forward: torch.Tensor
    reverse: torch.Tensor
    js: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    agree: torch.Tensor


class Workspace:
    """Buffers that every block of rows uses again: no page is touched for the first time."""

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}

    def get(self, name: str, rows: int, columns: int, device: torch.device) -> torch.Tensor:
        """A float32 tensor of shape (rows, columns), its contents undefined."""
        size, kept = rows * columns, self._buffers.get(name)
        if kept is None or kept.numel() < size or kept.device != device:
            self._buffers.pop(name, None)
            with torch.inference_mode(False):  # so that any pass can write to it
                kept = torch.empty(size, dtype=torch.float32, device=device)
            self._buffers[name] = kept
        return kept[:size].view(rows, columns)

    def let_go(self) -> None:
        """Give the memory back."""
        self._buffers.clear()


def rows_at_once(vocabulary: int, on_cpu: bool) -> int:
    """How many rows make a block: as many as `CPU_LOGITS` or `GPU_LOGITS` hold."""
    return max(16, (CPU_LOGITS if on_cpu else GPU_LOGITS) // vocabulary)


def row_divergences(
    p: torch.Tensor, q: torch.Tensor, targets: torch.Tensor, work: Workspace
) -> RowDivergences:
    """Divergences between softmax(p) and softmax(q), row by row.

    Each term of each sum is one that cannot be negative (for KL(P || Q): P ln(P/Q) - P + Q), so
    that near-equal distributions lose nothing to cancellation and an error of the normaliser counts
    only by its square. Terms are float32, sums over tiles of the vocabulary float64.

    Parameters
    ----------
    p, q
        Logits, float32, shape (R, V), on one device.
    targets
        The tokens that follow, int64, shape (R,), below V.
    work
        Buffers of the caller.
    """
    rows, vocabulary = p.shape
    column = targets.unsqueeze(1)
    kernels = kernels_for(p.device)
    if kernels is not None and p.is_contiguous() and q.is_contiguous():
        forward, reverse, js, log_p, log_q, agree = read_twice(p, q, kernels)
        first = p.gather(1, column).squeeze(1) - log_p
        second = q.gather(1, column).squeeze(1) - log_q
        return RowDivergences(forward, reverse, js, first, second, agree)
    wide = torch.float32 if p.device.type == "mps" else torch.float64
    step = max(1, (CPU_TILE if p.device.type == "cpu" else GPU_TILE) // max(rows, 1))
    tiles = [(start, min(start + step, vocabulary)) for start in range(0, vocabulary, step)]

    def buffer(name: str, columns: int) -> torch.Tensor:
        return work.get(name, rows, columns, p.device)

    def log_normaliser(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        largest, where = logits.max(dim=1)
        total = torch.zeros(rows, dtype=wide, device=logits.device)
        for start, end in tiles:
            x = torch.sub(logits[:, start:end], largest.unsqueeze(1), out=buffer("x", end - start))
            total += x.exp_().sum(dim=1)
        return total.log() + largest, where

    log_p, top_p = log_normaliser(p)
    log_q, top_q = log_normaliser(q)
    shift_p, shift_q = log_p.float().unsqueeze(1), log_q.float().unsqueeze(1)
    forward, reverse, js = torch.zeros(3, rows, dtype=wide, device=p.device)
    for start, end in tiles:
        width = end - start
        prob_p = torch.sub(p[:, start:end], shift_p, out=buffer("p", width))
        prob_q = torch.sub(q[:, start:end], shift_q, out=buffer("q", width))
        ratio = torch.sub(prob_p, prob_q, out=buffer("d", width))  # ln(P / Q)
        prob_p.exp_()
        prob_q.exp_()
        gap = torch.sub(prob_p, prob_q, out=buffer("x", width))
        term = buffer("y", width)
        forward += torch.mul(prob_p, ratio, out=term).sub_(gap).sum(dim=1)
        torch.mul(prob_q, ratio, out=term)
        reverse += torch.sub(gap, term, out=term).sum(dim=1)
        # With M their mean and d = ln(P/Q): P ln(P/M) + Q ln(Q/M) = (P - Q) d/2 - (P + Q)
        # ln cosh(d/2), and ln cosh(x) = log1p(2 sinh^2(x/2)), which is exact for the smallest d.
        ratio.clamp_(-RATIO_MOST, RATIO_MOST)
        js += gap.mul_(ratio).sum(dim=1) * 0.25
        ratio.mul_(0.25).sinh_().square_().mul_(2.0).log1p_()
        js -= prob_p.add_(prob_q).mul_(ratio).sum(dim=1) * 0.5
    return RowDivergences(
        forward=forward,
        reverse=reverse,
        js=js,
        first=p.gather(1, column).squeeze(1).to(wide) - log_p,
        second=q.gather(1, column).squeeze(1).to(wide) - log_q,
        agree=top_p == top_q,
    )
