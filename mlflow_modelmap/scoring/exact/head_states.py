"""Scoring: what goes into a model's head at every scored position, kept in a mapped file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.batches import Batch
from mlflow_modelmap.scoring.engine.head import TiledHead
from mlflow_modelmap.scoring.engine.prove import TILED
from mlflow_modelmap.scoring.engine.score_texts import check_knows_tokens, evaluating
from mlflow_modelmap.scoring.engine.scorer import Progress, Scorer
from mlflow_modelmap.scoring.engine.slices import head_rows
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.scoring.tokenizer.windows import Pieces
from mlflow_modelmap.words.reason import reason

_FILE = "head_states.bin"


@dataclass(frozen=True, eq=False)
class HeadStates:
    """A model's part of a comparison, once the model itself may leave memory.

    Attributes
    ----------
    rows
        (T, H) in the model's own precision, mapped from a file: the head's input at every scored
        position, text after text.
    head
        The model's head.
    tokens
        The texts that were read.
    vocabulary
        Entries of the head.
    """

    rows: torch.Tensor
    head: TiledHead
    tokens: TokenizedTexts

    @property
    def vocabulary(self) -> int:
        return len(self.head.weight)


def first_rows(parts: TokenizedTexts | Pieces) -> np.ndarray:
    """Where the scored positions of each text or piece begin among those of all, int64."""
    return np.concatenate([[0], np.cumsum(parts.scored)[:-1]]).astype(np.int64)


def rows_of(batch: Batch, starts: np.ndarray) -> np.ndarray:
    """Which row of all a batch's scored positions are, int64, shape (R,)."""
    within = np.arange(len(batch.owners)) - np.searchsorted(batch.owners, batch.owners)
    return starts[batch.pieces[batch.owners]] + within


def tiled_head(scorer: Scorer) -> TiledHead:
    """The head of the scorer's model.

    Raises
    ------
    InputError
        If it is no matrix product, so that its input is not all that it needs.
    ScoringError
        If the model gives nothing finite, by which that could be told.
    """
    if scorer.path.kind != TILED or scorer.path.tiled is None:
        first = torch.from_numpy(scorer.tokens.ids[0][None, :8]).to(scorer.tail.device)
        if not torch.isfinite(scorer.tail.forward(first)).any():
            raise ScoringError(
                f"The logits of this {type(scorer.model).__name__} are not finite (weights or "
                "activations overflow, or are damaged); compare it in float32 or bfloat16."
            )
        raise InputError(
            f"The head of this {type(scorer.model).__name__} is no plain matrix product, so that "
            "its next-token distributions cannot be compared token by token; the second-order "
            "estimate is what there is."
        )
    return scorer.path.tiled


class _Keep(Scorer):
    """One pass over the texts that writes the head's input down."""

    def keep(self, path: Path) -> HeadStates:
        head, self._starts = tiled_head(self), first_rows(self.pieces)
        self._file, self._kept = path, torch.empty(0)
        self.score(range(len(self.tokens)))
        return HeadStates(self._kept, head, self.tokens)

    def of_batch(self, batch: Batch) -> np.ndarray:
        ids, rows, _ = self._on_device(batch)
        kept = head_rows(self.tail, ids, rows, self.cache_of(batch), self.body_tokens)
        if not len(self._kept):
            positions = int(self.tokens.scored.sum())
            self._kept = _mapped(self._file, positions, kept.shape[1], kept.dtype)
        self._kept[torch.from_numpy(rows_of(batch, self._starts))] = kept.cpu()
        return np.zeros((1, len(batch.pieces)))


def keep_head_states(
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    folder: str | os.PathLike[str],
    *,
    precision: str,
    progress: Progress | None = None,
) -> HeadStates:
    """Run a model that is in memory over the texts, and keep what goes into its head.

    Its head stays in memory, the rest may go. The file takes `size_of_states` bytes; it is of use
    as long as the folder is there.

    Parameters
    ----------
    folder
        Where the file is made.
    precision
        As `precision.resolve` says.
    progress
        Called with the tokens done and those to do.

    Raises
    ------
    InputError
        If the model's head is no matrix product, or it is no causal language model.
    ScoringError
        If there is no room for the file, or memory runs out on a single text.
    """
    check_knows_tokens(model, tokens)
    with evaluating(model, own=True):
        return _Keep(model, tokens, settings, precision, progress).keep(Path(folder) / _FILE)


def size_of_states(positions: int, width: int, bytes_each: int) -> int:
    """Bytes of the file for so many scored positions of so wide a head."""
    return positions * width * bytes_each


def _mapped(path: Path, rows: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    size = size_of_states(rows, width, dtype.itemsize)
    try:
        with path.open("wb") as file:
            # Room is taken now: a mapped page that finds none later kills the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise ScoringError(
            f"The head's inputs need {size / 2**30:.2f} GiB in {str(path.parent)!r} "
            f"({reason(error)}); take fewer texts, or set TMPDIR to a folder with more room."
        ) from error
    flat = torch.from_file(str(path), shared=True, size=rows * width, dtype=dtype)
    return flat.view(rows, width)
