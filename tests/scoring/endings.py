"""Models that end in ways no tile knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GPTNeoXForCausalLM


class BentEnd(GPTNeoXForCausalLM):
    """Does something else to its logits than to scale or cap them."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)
        out.logits = out.logits + 2 * torch.sin(out.logits)
        return out


class MixedEnd(GPTNeoXForCausalLM):
    """Its end looks at the tokens, so that it cannot be replayed on a layer's output alone."""

    def forward(self, input_ids: torch.Tensor, **kwargs: Any) -> Any:
        out = super().forward(input_ids, **kwargs)
        out.logits = out.logits + 3 * torch.cos(torch.arange(400.0) + input_ids[..., None])
        return out


def ending_as(kind: type, path: Path, **changes: Any) -> Any:
    """The GPT-NeoX in `path`, with another end."""
    model = GPTNeoXForCausalLM.from_pretrained(path, **changes).eval()
    model.__class__ = kind
    return model
