"""Scoring (no torch here): what an exact comparison found, token by token and text by text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenInContext:
    """One scored position at which two models differ much.

    Attributes
    ----------
    text, position
        Which text, and which of its scored positions, both from 0.
    forward
        KL(A || B) there, nats.
    context
        The tokens before it, the last of them last; at most 32.
    token
        The token that follows in the text.
    first, second
        The three likeliest tokens of A and of B, each with its probability.
    """

    text: int
    position: int
    forward: float
    context: tuple[int, ...]
    token: int
    first: tuple[tuple[int, float], ...]
    second: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class TokenDivergences:
    """Two models A and B compared at every scored position of the same N texts.

    Attributes
    ----------
    tokens, bytes
        Scored positions and the UTF-8 bytes they cover of each text, int64, shape (N,).
    forward, reverse, js
        KL(A || B), KL(B || A) and Jensen-Shannon divergence of each position, nats, float64,
        shape (T,), text after text.
    first, second
        Log-probability of the token that follows, under A and under B, nats, float64, shape (T,).
    agree
        Whether both find the same token likeliest, bool, shape (T,).
    most
        The positions at which forward is largest, the largest first.
    vocabulary
        How many entries the distributions were compared over.
    """

    tokens: np.ndarray
    bytes: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    js: np.ndarray
    first: np.ndarray
    second: np.ndarray
    agree: np.ndarray
    most: tuple[TokenInContext, ...]
    vocabulary: int

    def by_text(self, values: np.ndarray) -> np.ndarray:
        """Sums over the positions of each text, float64, shape (N,)."""
        owners = np.repeat(np.arange(len(self.tokens)), self.tokens)
        return np.bincount(owners, values, len(self.tokens))
