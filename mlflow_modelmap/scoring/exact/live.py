"""Scoring: a model in training, compared exactly with what was kept of a reference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from mlflow_modelmap.scoring.engine.head import TiledHead
from mlflow_modelmap.scoring.engine.live import left_alone
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import HeadStates, keep_head_states
from mlflow_modelmap.scoring.exact.token_divergences import TokenDivergences
from mlflow_modelmap.scoring.load.precision import precision_in_memory
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts


def compare_live(
    states: HeadStates, model: Any, tokens: TokenizedTexts, settings: ScoringSettings
) -> TokenDivergences:
    """Compare a model in training, in the precision of its weights, with what was kept of another.

    What `score_live` leaves as it was is left here as well.

    Parameters
    ----------
    states
        Of the reference A; the model is B.
    model
        As `score_live` takes it.
    tokens
        The same texts under the model's tokenizer.

    Raises
    ------
    InputError
        If it is no such model, no process holds all of its weights, it was given other tokens, or
        its head is no matrix product.
    ScoringError
        If a distribution is not finite, or memory runs out on a single text.
    """
    with left_alone(model) as bare:
        return compare_with_states(
            states, bare, tokens, settings, precision=precision_in_memory(bare)
        )


def keep_live(
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    folder: str | os.PathLike[str],
) -> HeadStates:
    """Keep a model in training as it is now, with a copy of its head, which goes on changing.

    Raises
    ------
    InputError, ScoringError
        As `keep_head_states` and `compare_live`.
    """
    with left_alone(model) as bare:
        kept = keep_head_states(bare, tokens, settings, folder, precision=precision_in_memory(bare))
    head = kept.head
    bias = None if head.bias is None else head.bias.clone()
    return replace(kept, head=TiledHead(head.weight.clone(), bias, head.scale, head.cap))


@contextmanager
def no_autocast() -> Iterator[None]:
    """Whatever a training casts to, a model that is run in here is not cast."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield
