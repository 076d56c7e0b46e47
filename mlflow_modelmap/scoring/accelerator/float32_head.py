"""Scoring: lets a model's own head give float32 logits in place of those it would round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mlflow_modelmap.scoring.accelerator.products import product_into

_HALF = (torch.float16, torch.bfloat16)


def rounds_its_logits(head: Any) -> bool:
    """Whether a head is a plain linear layer in half precision, whose product can be had."""
    if not isinstance(head, nn.Linear) or type(head).forward is not nn.Linear.forward:
        return False
    return head.weight.dtype in _HALF


def is_float32(head: Any) -> bool:
    """Whether a head's weights are float32, so that there is nothing to round to."""
    weight = getattr(head, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dtype == torch.float32


@contextmanager
def float32_logits(head: Any) -> Iterator[None]:
    """Inside, such a head gives its product in float32; what the model does to it then is too.

    Also where accelerate fetches the weights for each pass.
    """
    if not rounds_its_logits(head):
        yield
        return
    fetched = hasattr(head, "_old_forward")  # accelerate's hooks call it with the weights there
    name = "_old_forward" if fetched else "forward"
    before = head.__dict__.get(name)
    setattr(head, name, lambda hidden: _product(head, hidden))
    try:
        yield
    finally:
        if before is None:
            delattr(head, name)
        else:
            setattr(head, name, before)


def _product(head: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    rows = hidden.reshape(-1, hidden.shape[-1]).to(head.weight.dtype)
    out = torch.empty(len(rows), len(head.weight), dtype=torch.float32, device=hidden.device)
    product_into(rows, head.weight, out)
    if head.bias is not None:
        out += head.bias
    return out.view(*hidden.shape[:-1], -1)
