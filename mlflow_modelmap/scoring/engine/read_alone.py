"""Scoring: what a proof has read of whole pieces, one at a time, which need not be read again."""

from __future__ import annotations

import numpy as np


class ReadAlone:
    """Values of pieces that were read alone to be compared with what they are in company.

    Attributes
    ----------
    pieces
        Those that were taken over.
    tokens, seconds
        Of them: their tokens, and how long reading them took.
    """

    def __init__(self, lengths: np.ndarray) -> None:
        self._lengths, self._values = lengths, dict[int, tuple[float, float]]()
        self.pieces: list[int] = []
        self.tokens, self.seconds = 0, 0.0

    def keep(self, piece: int, value: float, seconds: float) -> None:
        """Keep the log-likelihood of a piece, nats, and the seconds that it took."""
        self._values[piece] = value, seconds

    def take_over(self, values: np.ndarray, pieces: list[int]) -> list[int]:
        """Write what is known into `values` (1, P), once; the pieces that have yet to be read."""
        self.pieces = [piece for piece in pieces if piece in self._values]
        for piece in self.pieces:
            values[0, piece] = self._values[piece][0]
        self.tokens = int(self._lengths[self.pieces].sum())
        self.seconds = sum(self._values[piece][1] for piece in self.pieces)
        self._values.clear()
        return [piece for piece in pieces if piece not in set(self.pieces)]
