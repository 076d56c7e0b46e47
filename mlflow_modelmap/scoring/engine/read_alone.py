"""Scoring: what a proof has read of whole pieces, one at a time, which need not be read again."""

from __future__ import annotations

import numpy as np


class ReadAlone:
    """Values of pieces that were read alone to be compared with what they are in company.

    Attributes
    ----------
    tokens
        Of the pieces that were taken over.
    """

    def __init__(self, lengths: np.ndarray) -> None:
        self._lengths, self._values = lengths, dict[int, float]()
        self.tokens = 0

    def keep(self, piece: int, value: float) -> None:
        """Keep the log-likelihood of a piece, nats."""
        self._values[piece] = value

    def take_over(self, values: np.ndarray, pieces: list[int]) -> list[int]:
        """Write what is known into `values` (1, P), once; the pieces that have yet to be read."""
        for piece in pieces:
            if piece in self._values:
                values[0, piece] = self._values[piece]
                self.tokens += int(self._lengths[piece])
        left = [piece for piece in pieces if piece not in self._values]
        self._values.clear()
        return left
