"""Scoring: which way to a model's logits is right for it, proved on a few of its own rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.accelerator.float32_head import (
    float32_logits,
    is_float32,
    rounds_its_logits,
)
from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.engine.head import TiledHead
from mlflow_modelmap.scoring.engine.tail import Tail

TILED, REPLAYED, WHOLE = "tiled", "replayed", "whole"
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class HeadPath:
    """How a model's token log-likelihoods are got.

    Attributes
    ----------
    kind
        ``tiled``: the product in tiles, and what the model does to it after. ``replayed``: the
        model's own tail, over a few rows at a time. ``whole``: the model's own logits, one text
        at a time.
    tiled
        The head of a ``tiled`` path, else None.
    unrounded
        Whether the model's own head, on the other two, can be made to give float32 where it lies in
        half precision on an accelerator.
    finite
        Whether any logit of the proof was finite.
    """

    kind: str
    tiled: TiledHead | None
    unrounded: bool = False
    finite: bool = True

    def told(self, tail: Tail) -> dict[str, str]:
        """How logits are computed on an accelerator, for a score's record."""
        if self.tiled is not None:
            return self.tiled.told()
        if tail.device.type == "cpu":
            return {}
        exact = self.unrounded or is_float32(tail.head)
        return {"head_products": "float32" if exact else "as the model rounds them"}

    def logits_as_they_are(self, tail: Tail) -> AbstractContextManager[None]:
        """Inside, the model's own logits are not rounded, where that can be had."""
        return float32_logits(tail.head) if self.unrounded else nullcontext()


def check_causal(tail: Tail, ids: torch.Tensor, vocabulary: int, tolerance: float) -> None:
    """Raise if a prediction depends on later tokens (as in BERT): then there is no likelihood.

    It is also what makes right padding without a mask harmless.
    """
    half = max(1, ids.shape[1] // 2)
    other = ids.clone()
    other[:, half:] = (other[:, half:] + 1) % vocabulary
    before, after = (tail.forward(rows)[:, :half].float() for rows in (ids, other))
    if not torch.isfinite(before).all() or not torch.isfinite(after).all():
        return  # Overflow shows when texts are scored, and is dealt with there.
    if _close(before, after, tolerance):
        return
    if len(ids) > 1:  # rows that change each other look ahead only if they do so alone
        for row in ids.split(1):
            check_causal(tail, row, vocabulary, tolerance)
        return
    if not _close(before, tail.forward(ids)[:, :half].float(), tolerance):
        raise InputError(
            f"This {type(tail.model).__name__} gives other numbers each time it reads the same "
            "tokens (it draws random ones even in evaluation); a likelihood must not change, so "
            "switch that off in its configuration."
        )
    raise InputError(
        f"This {type(tail.model).__name__} predicts a token from the tokens after it as well; "
        "only causal language models have a log-likelihood."
    )


def head_path(tail: Tail, ids: torch.Tensor) -> HeadPath:
    """The fastest way that gives the model's own logits for the tokens `ids` (B, T)."""
    own = tail.forward(ids).float()
    if own.shape[:2] != ids.shape:
        raise ScoringError(
            f"This {type(tail.model).__name__} gives logits of shape {tuple(own.shape)} for tokens "
            f"of shape {tuple(ids.shape)}; it has no next-token distribution."
        )
    flat = own.reshape(-1, own.shape[-1])
    finite = torch.isfinite(flat).all(dim=1)
    tiled = _tiled(tail, ids)
    if tiled is not None and finite.any():
        hidden = tail.head_input(ids)
        rows = tiled.logits(hidden.reshape(-1, hidden.shape[-1]))
        rows = rows.to(flat.device)  # with a device map the head may lie on another device
        if _close(rows[finite], flat[finite], _tolerance(tail)):
            return HeadPath(TILED, tiled)
    kind = REPLAYED if finite.any() and replays(tail, ids) else WHOLE
    return HeadPath(kind, None, _unrounded(tail, ids, own), bool(finite.any()))


def _unrounded(tail: Tail, ids: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether the model takes float32 from its head in half precision, and says the same."""
    if own.device.type == "cpu" or not rounds_its_logits(tail.head):
        return False
    try:
        with float32_logits(tail.head):
            logits = tail.forward(ids)
    except Exception as error:
        if out_of_memory(error):
            raise
        return False
    finite = torch.isfinite(own)
    if logits.dtype != torch.float32 or not finite.any():
        return False
    return _close(logits.where(finite, 0.0), own.where(finite, 0.0), _tolerance(tail))


def replays(tail: Tail, ids: torch.Tensor) -> bool:
    """Whether the tail, replayed on the last layer's raw output, gives the model's own logits."""
    own = tail.forward(ids).float()
    own = own.reshape(-1, own.shape[-1])
    finite = torch.isfinite(own).all(dim=1)
    if not finite.any():
        return True  # Nothing to compare with: what overflows is scored again in float32.
    rows = torch.arange(ids.numel(), device=ids.device)
    try:
        again = tail.replay(tail.layer_outputs(ids, rows, last_only=True)[-1]).to(own.device)
    except InputError:
        return False
    except Exception as error:
        if out_of_memory(error):
            raise
        return False  # A tail that needs more than the last layer's output.
    if again.shape != own.shape:
        return False
    return _close(again.float()[finite], own[finite], _tolerance(tail))


def _tiled(tail: Tail, ids: torch.Tensor) -> TiledHead | None:
    """The head as a product in tiles, or None where it is something else."""
    head: Any = tail.head
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2 or weight.is_meta:
        return None
    if not weight.is_floating_point() or not isinstance(head, nn.Linear):
        return None
    after = _after_head(tail, ids[:1, :4])
    if after is None:
        return None
    bias = getattr(head, "bias", None)
    return TiledHead(
        weight.detach(), None if bias is None else bias.detach(), scale=after[0], cap=after[1]
    )


def _after_head(tail: Tail, ids: torch.Tensor) -> tuple[float | None, float | None] | None:
    """What the model does to what its head gives: (scale, None), (None, cap), (None, None).

    None where it is none of these. Found by letting the head give known numbers.
    """
    given: list[torch.Tensor] = []

    def give(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        known = torch.linspace(-60, 60, output.numel(), device=output.device)
        given.append(known.reshape(output.shape).to(output.dtype))
        return given[0].clone()

    hook = tail.head.register_forward_hook(give)
    try:
        got = tail.forward(ids).float().cpu()
    finally:
        hook.remove()
    if len(given) != 1 or given[0].shape != got.shape:
        return None
    known, half = given[0].float().cpu(), given[0].dtype in HALF
    if torch.equal(got, known):
        return None, None
    tolerance = 2e-2 if half else 1e-5
    scale = float((got.double() * known.double()).sum() / known.double().square().sum())
    if _close(got, known * scale, tolerance):
        return scale, None
    config = tail.model.config.get_text_config(decoder=True)
    for name in ("final_logit_softcapping", "logits_soft_cap", "logit_softcapping"):
        cap = getattr(config, name, None)
        if cap and _close(got, cap * torch.tanh(known / cap), tolerance):
            return None, float(cap)
    return None


def _tolerance(tail: Tail) -> float:
    """Relative difference that rounding explains."""
    dtypes = {p.dtype for p in tail.model.parameters() if p.is_floating_point()}
    return 3e-2 if dtypes & set(HALF) or len(dtypes) > 1 else 2e-5


def _close(left: torch.Tensor, right: torch.Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by at most `tolerance` times the larger one's largest entry."""
    right = right.to(left.device)
    size = float(torch.maximum(left.abs().max(), right.abs().max()))
    return float((left - right).abs().max()) <= tolerance * max(size, 1e-6)
