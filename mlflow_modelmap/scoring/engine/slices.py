"""Scoring: a batch's texts through a model's body, a few at a time where a processor computes.

What a layer makes of some hundred tokens stays in a processor's cache, while the head is fastest
with some thousand rows: so a batch is read in slices, and its rows go into the head together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from mlflow_modelmap.scoring.engine.tail import Tail

BODY_TOKENS = 768
"""Tokens that go through the body at once on CPU; a text that is longer goes alone."""


def body_tokens_of(model: Any, device_type: str) -> int | None:
    """How many tokens go through a model's body at once; None for all of a batch.

    All do on an accelerator, and where weights are stored as codes: each pass makes them anew.
    """
    if device_type != "cpu" or getattr(model, "hf_quantizer", None) is not None:
        return None
    return BODY_TOKENS


def slice_sizes(count: int, width: int, body_tokens: int | None) -> list[int]:
    """How many of a batch's `count` rows of `width` tokens are read at once, slice by slice."""
    parts = 1 if body_tokens is None else min(count, -(-count * width // body_tokens))
    return [count // parts + (part < count % parts) for part in range(parts)]


def head_rows(
    tail: Tail,
    ids: torch.Tensor,
    rows: torch.Tensor,
    cache: Any = None,
    body_tokens: int | None = None,
) -> torch.Tensor:
    """What goes into the head at some flat positions of a batch, shape (R, H).

    Parameters
    ----------
    ids
        Tokens (B, T), on the body's device.
    rows
        Flat positions in (B * T), ascending, int64, shape (R,).
    cache
        Of transformers, with what stands before each row; such a batch is read as one.
    body_tokens
        How many tokens are read at once; None for all.
    """
    kept = [
        state.reshape(-1, state.shape[-1]).index_select(0, within.to(state.device))
        for part, within in _slices(ids, rows, cache, body_tokens)
        for state in [tail.head_input(part, cache)]
    ]
    return kept[0] if len(kept) == 1 else torch.cat(kept)


def layer_rows(
    tail: Tail,
    ids: torch.Tensor,
    rows: torch.Tensor,
    cache: Any = None,
    body_tokens: int | None = None,
) -> list[torch.Tensor]:
    """As `head_rows`, the raw outputs of the embeddings and of every layer, each (R, H)."""
    kept = [
        tail.layer_outputs(part, within, cache=cache)
        for part, within in _slices(ids, rows, cache, body_tokens)
    ]
    if len(kept) == 1:
        return kept[0]
    found = []
    while kept[0]:  # a layer at a time, so that only one is there twice
        found.append(torch.cat([states.pop(0) for states in kept]))
    return found


def _slices(
    ids: torch.Tensor, rows: torch.Tensor, cache: Any, body_tokens: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The slices of a batch, and which of their flat positions are wanted."""
    count, width = ids.shape
    sizes = slice_sizes(count, width, body_tokens if cache is None else None)
    end = 0
    for part in ids.split(sizes):
        begin, end = end, end + part.numel()
        within = rows
        if len(sizes) > 1:
            first, last = torch.searchsorted(rows, torch.tensor([begin, end])).tolist()
            within = rows[first:last] - begin
        yield part, within
