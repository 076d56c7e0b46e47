"""Scoring: texts longer than a model takes, cut into windows that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.listed import listed

WINDOW = "window"
"""The value of `overlong` that asks for windows."""
MOST = 8
"""Texts that an error names one by one."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """What goes through a model: texts as they are, and windows of those that are too long.

    A text's pieces stand next to each other, in its order, and score each of its tokens once.
    `pieces[i]` are the tokens of one, int64; they are put together when they are asked for.

    Attributes
    ----------
    ids
        The tokens of each text.
    prefix
        How many tokens (a BOS) come first in every window.
    texts
        Which text each piece is of, int64, shape (P,), ascending.
    starts, stops
        Which of the text's tokens it holds, beside the prefix, int64, shape (P,).
    firsts
        Which of the piece's own tokens is the first that is scored, int64, shape (P,).
    """

    ids: Sequence[np.ndarray]
    prefix: int
    texts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    firsts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, piece: int) -> np.ndarray:
        row, start, stop = self.ids[self.texts[piece]], self.starts[piece], self.stops[piece]
        if start == 0 or self.prefix == 0:
            return row[start:stop]
        return np.concatenate([row[: self.prefix], row[start:stop]])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens a piece, prefix included, int64, shape (P,)."""
        return self.stops - self.starts + np.where(self.starts > 0, self.prefix, 0)

    @property
    def scored(self) -> np.ndarray:
        """Scored tokens a piece, int64, shape (P,)."""
        return self.lengths - self.firsts

    @property
    def windowed(self) -> int:
        """How many texts are in several pieces."""
        return len(np.unique(self.texts[self.starts > 0]))

    def of(self, texts: Iterable[int]) -> np.ndarray:
        """The pieces of some texts, int64."""
        wanted = np.zeros(len(self.ids), dtype=bool)
        wanted[np.fromiter(texts, dtype=np.int64)] = True
        return np.flatnonzero(wanted[self.texts])

    def by_text(self, values: np.ndarray) -> np.ndarray:
        """What was found of pieces, shape (..., P), added up by text, shape (..., N)."""
        if len(self) == len(self.ids):
            return values
        return np.add.reduceat(values, np.searchsorted(self.texts, np.arange(len(self.ids))), -1)


def chosen(
    positions: int | None, window: int | None, stride: int | None, first: int
) -> tuple[int | None, int | None]:
    """How long windows are and by how much they move on; both None where no text is too long.

    Parameters
    ----------
    positions
        The most tokens that the model takes; None for any number.
    window, stride
        As asked for: None for the model's positions, and for half of them.
    first
        How many tokens at the beginning of a window cannot be scored.

    Raises
    ------
    InputError
        If the window is longer than the model takes, or the stride than a window has room for.
    """
    if window is not None and positions is not None and window > positions:
        raise InputError(
            f"window_tokens is {window}, but the model takes {positions} tokens at most; give "
            f"{positions} or less, or leave it out."
        )
    length = positions if window is None else window
    if length is None:
        return None, None
    most = length - first
    if most < 1:
        raise InputError(f"A window of {length} tokens leaves nothing of a text to score.")
    if stride is None:
        return length, max(1, min(length // 2, most))
    if stride > most:
        raise InputError(
            f"stride is {stride}, but the window has {length} tokens, of which {first} can only "
            f"condition; give {most} or less."
        )
    return length, stride


def cut(
    ids: Sequence[np.ndarray],
    first: int | np.ndarray,
    prefix: int,
    window: int | None,
    stride: int | None,
) -> Pieces:
    """Each text whole, or in windows where it is longer than `window`.

    The first window of a text scores all that it can; each later one begins `stride` tokens on,
    after the prefix, and scores the tokens that no window before it has reached: at most `stride`,
    with at least ``window - stride`` tokens before each of them.

    Parameters
    ----------
    ids
        The tokens of each text, its prefix included.
    first
        Index of the first token of a text that is scored; one for each only without windows.
    prefix
        How many of the tokens before it are put in front of every window.
    """
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    if window is None or stride is None or not (lengths > window).any():
        every = np.arange(len(ids))
        zeros = np.zeros(len(ids), dtype=np.int64)
        return Pieces(ids, prefix, every, zeros, lengths, zeros + first)
    counts = 1 + np.maximum(0, -(-(lengths - window) // stride))
    texts = np.repeat(np.arange(len(ids)), counts)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(counts) - counts, counts)
    later = number > 0
    return Pieces(
        ids=ids,
        prefix=prefix,
        texts=texts,
        starts=np.where(later, prefix + number * stride, 0),
        stops=np.minimum(window + number * stride, lengths[texts]),
        firsts=np.where(later, window - stride, first),
    )


def too_long(indices: np.ndarray, lengths: np.ndarray) -> str:
    """The beginning of a sentence that names texts that are too long, with their tokens."""
    shown = [f"{int(index)} ({int(lengths[index])} tokens)" for index in indices]
    several = len(shown) > 1
    return f"Text{'s' if several else ''} {listed(shown, MOST, quoted=False)} " + (
        "have" if several else "has"
    )
