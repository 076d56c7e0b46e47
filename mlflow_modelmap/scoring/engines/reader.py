"""Scoring: what an engine is - something that reads rows of tokens and says how likely each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.texts.text_set import TextSet

Facts: TypeAlias = dict[str, str | int | float | bool]


@dataclass(frozen=True, eq=False)
class Row:
    """A text, or a window of one, that goes through a model.

    Attributes
    ----------
    ids
        Its tokens, int64, a BOS included.
    text
        The text that they are all of, but for a BOS; None where they are a part of one.
    name
        What an error calls it: ``text 3``.
    """

    ids: np.ndarray
    text: str | None
    name: str


class Reader(Protocol):
    """An engine with a model: it is opened, proved, read from and closed.

    Attributes
    ----------
    what
        What a sentence calls it: ``The server at 'http://...'``.
    takes_tokens
        Whether it reads tokens; a server that takes text alone makes them itself.
    rereads
        Whether what is read again is read in other company, so that arithmetic may differ.
    prefixed
        Whether it was seen to put a BOS of its own before what it reads.
    """

    what: str
    takes_tokens: bool
    rereads: bool
    prefixed: bool

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[int, np.ndarray]]:
        """The place of each row, as soon as it is read, with its values.

        These are the log-likelihoods of all its tokens but the first, nats, float64; NaN where the
        engine gives none.
        """
        ...

    def facts(self) -> Facts:
        """What computed, and how, for a run's params."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class Rows(Sequence[Row]):
    """The rows that tokenised texts stand for: the texts, those that are too long in windows.

    Behind the N texts they may be there again without their prompts, as `with_both` puts them.
    """

    def __init__(self, tokens: TokenizedTexts, texts: TextSet) -> None:
        self.pieces = tokens.pieces
        self._texts = texts.texts
        several = np.bincount(self.pieces.texts, minlength=len(tokens)) > 1
        several[list(tokens.truncated)] = True
        self._part = several | bool(tokens.facts.get("eos_applied")) | (tokens.firsts is not None)

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, place: int) -> Row:  # type: ignore[override]
        index = int(self.pieces.texts[place])
        count = len(self._texts)
        if index >= count:
            return Row(self.pieces[place], None, f"text {index - count} without its prompt")
        text = None if self._part[index] else self._texts[index]
        return Row(self.pieces[place], text, f"text {index}")


def read_all(reader: Reader, rows: Sequence[Row]) -> list[np.ndarray]:
    """The values of some rows, read together."""
    found: list[np.ndarray | None] = [None] * len(rows)
    for place, values in reader.read(rows):
        found[place] = values
    return [values for values in found if values is not None]
