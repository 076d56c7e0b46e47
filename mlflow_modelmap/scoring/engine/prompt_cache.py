"""Scoring: what attention keeps of some prompts, so that their responses are read behind them."""

from __future__ import annotations

import copy
from typing import Any

import torch

from mlflow_modelmap.scoring.engine.tail import Tail


class NoCacheError(Exception):
    """A model that keeps something else of a prompt than keys and values, or nothing."""


def read_prompts(tail: Tail, ids: torch.Tensor) -> Any:
    """Keys and values of some prompts, as transformers' `DynamicCache`.

    Parameters
    ----------
    ids
        Tokens of prompts of one length, int64, shape (G, T).

    Raises
    ------
    NoCacheError
        If the model has a state that is no such cache (recurrent ones), or fills none.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    cache = DynamicCache(config=tail.model.config)
    tail.fill(ids, cache)
    layers: list[Any] = cache.layers
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise NoCacheError
    filled = [layer.get_seq_length() for layer in layers if layer.is_initialized]
    if not filled or set(filled) != {ids.shape[1]}:
        raise NoCacheError
    return cache


def behind(cache: Any, places: torch.Tensor) -> Any:
    """A cache for rows that each stand behind one of the prompts; it keeps nothing of theirs.

    A prompt's keys and values are repeated for one layer at a time, while that layer needs them.

    Parameters
    ----------
    cache
        From `read_prompts`.
    places
        Which prompt each row stands behind, int64, shape (B,).
    """
    view = copy.copy(cache)
    view.layers = [_repeated(layer, places) for layer in cache.layers]
    return view


def _repeated(layer: Any, places: torch.Tensor) -> Any:
    repeated = copy.copy(layer)

    def update(
        keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not layer.is_initialized:
            raise NoCacheError
        rows = places.to(layer.keys.device)
        return (
            torch.cat([layer.keys.index_select(0, rows), keys], dim=-2),
            torch.cat([layer.values.index_select(0, rows), values], dim=-2),
        )

    repeated.update = update
    return repeated
