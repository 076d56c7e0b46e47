"""Scoring: log-likelihoods of tokens from what goes into a model's head, never the full logits."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from mlflow_modelmap.scoring.accelerator.one_read import TILE, HeadRows, kernels_for, kernels_said
from mlflow_modelmap.scoring.accelerator.products import head_products, product_into
from mlflow_modelmap.scoring.processor.matmul import of_bfloat16_factors
from mlflow_modelmap.scoring.processor.onednn import by_onednn, product_into_rows, product_of_rows

CPU_ROWS, CPU_TILE = 2048, 512
SOFTMAX_ROWS = 512
"""Rows of full logits that an accelerator has a second time, for their log-softmax."""
# Sums of exponentials outside this range have over- or underflowed, or nearly.
SMALLEST_SUM, LARGEST_SUM = 1e-25, 1e30
_SMALLEST_LOG, _LARGEST_LOG = math.log(SMALLEST_SUM), math.log(LARGEST_SUM)


@dataclass
class TiledHead:
    """A head ``f(W h + b)``, where f multiplies by `scale` or caps softly at `cap`.

    The vocabulary is cut into tiles, and a tile's logits live in one buffer that every tile uses
    again: memory does not grow with vocabulary x text length. Logits, exponentials and their sums
    within a tile are float32; sums over tiles are float64.

    Parameters
    ----------
    weight
        (V, H), in the model's dtype.
    bias
        (V,), or None.
    scale, cap
        At most one of them; both None for a head that is a matrix product and nothing else.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float | None = None
    cap: float | None = None
    _shifted: bool = False
    _buffers: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)
    _rows: HeadRows | None = field(default=None, repr=False)

    @property
    def on_cpu(self) -> bool:
        """Whether the head lies in the processor's memory."""
        return self.weight.device.type == "cpu"

    def log_likelihoods(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of each row's target, nats.

        Parameters
        ----------
        hidden
            (R, H), what goes into the head.
        targets
            (R,), token ids.

        Returns
        -------
        torch.Tensor
            float64 (float32 on mps), shape (R,), on the head's device.
        """
        hidden = hidden.to(self.weight.device)
        targets = targets.to(self.weight.device)
        if not self.on_cpu:
            kernels = kernels_for(self.weight.device)
            return self._on_accelerator.log_likelihoods(hidden, targets, kernels)
        parts = zip(hidden.split(CPU_ROWS), targets.split(CPU_ROWS), strict=True)
        with self._as_bfloat16(hidden):
            return torch.cat([self._block(rows, wanted) for rows, wanted in parts])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """All logits in float32, shape (R, V), on the head's device: for a look at a few rows."""
        if not self.on_cpu or self.weight.dtype != torch.float32:
            shape = len(hidden), len(self.weight)
            return self.logits_into(hidden, torch.empty(shape, device=self.weight.device))
        out = hidden.float() @ self.weight.float().T
        return self._finish(out if self.bias is None else out + self.bias.float())

    def logits_into(self, hidden: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """The logits of the first tokens of the vocabulary, in float32.

        Parameters
        ----------
        hidden
            (R, H), on any device.
        out
            (R, V'), float32, V' at most V; what is returned.
        """
        given = hidden
        hidden = self._operand(hidden.to(self.weight.device))
        wanted = out.shape[1]
        if self.on_cpu and self.weight.dtype == torch.float32 and out.device.type == "cpu":
            product_into_rows(hidden, self.weight[:wanted], out)
            if self.bias is not None:
                out += self.bias[:wanted]
            return self._finish(out)
        if not self.on_cpu and out.device == hidden.device and out.is_contiguous():
            product_into(hidden, self.weight[:wanted], out)
            if self.bias is not None:
                out += self.bias[:wanted]
            return self._finish(out)
        with self._as_bfloat16(given):
            for start in range(0, wanted, self._tile):
                tile = self._tile_logits(hidden, start)[:, : wanted - start]
                out[:, start : start + tile.shape[1]] = tile
        return out

    def let_go(self) -> None:
        """Give the memory of its buffers back."""
        self._buffers.clear()
        if self._rows is not None:
            self._rows.let_go()

    def told(self) -> dict[str, str]:
        """How its products and their sums are computed, for a score's record."""
        if self.on_cpu:
            return {}
        return {
            "head_products": head_products(self.weight),
            "head_kernel": kernels_said(self.weight.device),
        }

    def _as_bfloat16(self, hidden: torch.Tensor) -> AbstractContextManager[None]:
        """As `of_bfloat16_factors`, where they are."""
        both = self.on_cpu and hidden.dtype == self.weight.dtype == torch.bfloat16
        return of_bfloat16_factors() if both and not by_onednn() else nullcontext()

    @property
    def _on_accelerator(self) -> HeadRows:
        if self._rows is None:
            self._rows = HeadRows(self.weight, self.bias, self.scale, self.cap)
        return self._rows

    def _block(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        wanted = self._target_logits(hidden, targets)
        if not self._shifted:
            total = self._sums(hidden, None)
            poor = ~((total > SMALLEST_SUM) & (total < LARGEST_SUM))
            count = int(poor.sum())
            if count == 0:
                return wanted - total.log()
            # Where many rows need their largest logit taken off, all get that, while they do.
            self._shifted = count > len(hidden) // 8
        else:
            total = torch.ones(len(hidden), dtype=torch.float64, device=hidden.device)
            poor = torch.ones(len(hidden), dtype=torch.bool, device=hidden.device)
        normaliser = total.log()
        normaliser[poor] = self._log_sums(hidden[poor])
        if self._shifted:  # another layer of a lens may not need it
            fits = (normaliser > _SMALLEST_LOG) & (normaliser < _LARGEST_LOG)
            self._shifted = int((~fits).sum()) > len(hidden) // 8
        return wanted - normaliser

    def _target_logits(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        rows = self.weight.index_select(0, targets)
        out = torch.linalg.vecdot(hidden.float(), rows.float())
        if self.bias is not None:
            out = out + self.bias.index_select(0, targets).float()
        return self._finish(out).to(torch.float64)

    def _sums(self, hidden: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
        """Sum over the vocabulary of exp(logit - shift), float64, shape (R,)."""
        total = torch.zeros(len(hidden), dtype=torch.float64, device=hidden.device)
        hidden = self._operand(hidden)
        for start in range(0, len(self.weight), self._tile):
            logits = self._tile_logits(hidden, start)
            if shift is not None:
                logits.sub_(shift)
            total += logits.exp_().sum(dim=1)
        return total

    def _log_sums(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log of the sum over the vocabulary of exp(logit), safe for logits of any size."""
        largest = torch.full((len(hidden),), -torch.inf, device=hidden.device)
        operand = self._operand(hidden)
        for start in range(0, len(self.weight), self._tile):
            largest = torch.maximum(largest, self._tile_logits(operand, start).amax(dim=1))
        return self._sums(hidden, largest.unsqueeze(1)).log() + largest.to(torch.float64)

    @property
    def _tile(self) -> int:
        return CPU_TILE if self.on_cpu else TILE

    def _operand(self, hidden: torch.Tensor) -> torch.Tensor:
        """On CPU products are float32 whatever the model's dtype; elsewhere in that dtype."""
        return hidden.float() if self.on_cpu else hidden.to(self.weight.dtype)

    def _tile_logits(self, hidden: torch.Tensor, start: int) -> torch.Tensor:
        weight = self.weight[start : start + self._tile]
        shape = (len(hidden), len(weight))
        if self.on_cpu:
            if weight.dtype != torch.float32:
                weight = self._buffer("weight", weight.shape).copy_(weight)
            out = product_of_rows(hidden, weight, self._buffer("logits", shape))
        else:
            out = product_into(hidden, weight, torch.empty(shape, device=weight.device))
        if self.bias is not None:
            out += self.bias[start : start + self._tile]
        return self._finish(out)

    def _finish(self, logits: torch.Tensor) -> torch.Tensor:
        """What the model does to its logits after the product; in place."""
        if self.scale is not None:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits

    def _buffer(self, name: str, shape: tuple[int, ...] | torch.Size) -> torch.Tensor:
        size = shape[0] * shape[1]
        if name not in self._buffers or self._buffers[name].numel() < size:
            with torch.inference_mode(False):  # so that any pass can write to it
                self._buffers[name] = torch.empty(size, dtype=torch.float32)
        return self._buffers[name][:size].view(shape)


def softmax_log_likelihoods(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each row's target from full logits (R, V); float64, shape (R,).

    On an accelerator it stays there (float32 on mps), and nobody waits for it.
    """
    if logits.device.type != "cpu":
        wide = torch.float32 if logits.device.type == "mps" else torch.float64
        targets = targets.to(logits.device)
        parts = zip(logits.split(SOFTMAX_ROWS), targets.split(SOFTMAX_ROWS), strict=True)
        return torch.cat(
            [
                torch.log_softmax(rows.float(), dim=-1).gather(1, wanted.unsqueeze(1)).squeeze(1)
                for rows, wanted in parts
            ]
        ).to(wide)
    scores = torch.log_softmax(logits.float(), dim=-1)
    return scores.gather(1, targets.to(logits.device).unsqueeze(1)).squeeze(1).cpu().double()
