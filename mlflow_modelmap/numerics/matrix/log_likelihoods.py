"""Numerics: the log-likelihood matrix L, and the weights of its texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlflow_modelmap.errors import InputError


@dataclass(frozen=True, eq=False)
class LogLikelihoodMatrix:
    """K points by N texts.

    Attributes
    ----------
    values
        Log-likelihoods in nats, float64, shape (K, N), all finite.
    points
        K unique names.
    text_bytes
        UTF-8 bytes of each text, shape (N,).
    weights
        Importance weights of the texts, shape (N,), positive: how much more often each occurs in
        the population that is asked about than here. Their scale does not matter. None: alike.

    Raises
    ------
    InputError
        If the shapes disagree, a name occurs twice, a value is not finite or a weight not positive.
    """

    values: np.ndarray
    points: tuple[str, ...]
    text_bytes: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape != (len(self.points), len(self.text_bytes)):
            raise InputError(
                f"A log-likelihood matrix of shape {self.values.shape} does not fit "
                f"{len(self.points)} points and {len(self.text_bytes)} texts."
            )
        if len(set(self.points)) != len(self.points):
            twice = next(p for p in self.points if self.points.count(p) > 1)
            raise InputError(f"The point {twice!r} occurs twice; every point needs its own name.")
        if not np.isfinite(self.values).all():
            row, text = np.argwhere(~np.isfinite(self.values))[0]
            raise InputError(
                f"The log-likelihood of text {text} under {self.points[row]!r} is "
                f"{self.values[row, text]}; score that point again."
            )
        if self.weights is not None:
            check_weights(self.weights, len(self.text_bytes))

    @cached_property
    def shares(self) -> np.ndarray | None:
        """Each text's share of the weights, shape (N,), their sum 1; None where all are alike."""
        return None if self.weights is None else shares_of(self.weights)

    @property
    def mean_bytes(self) -> float:
        """B, the (weighted) mean UTF-8 bytes a text, which turns nats into bits per byte."""
        if self.shares is None:
            return float(np.mean(self.text_bytes))
        return float(self.shares @ self.text_bytes)

    def keep_texts(self, keep: np.ndarray) -> LogLikelihoodMatrix:
        """Keep the texts selected by a mask or index array; B follows from what is kept."""
        weights = None if self.weights is None else self.weights[keep]
        return replace(
            self,
            values=self.values[:, keep],
            text_bytes=self.text_bytes[keep],
            weights=weights,
        )

    def keep_points(self, keep: np.ndarray) -> LogLikelihoodMatrix:
        """Keep the points selected by a mask or index array."""
        index = np.arange(len(self.points))[keep]
        return replace(self, values=self.values[index], points=tuple(self.points[i] for i in index))


def check_weights(weights: np.ndarray, texts: int) -> None:
    """An InputError unless there is one positive finite weight a text.

    Parameters
    ----------
    weights
        One a text.
    texts
        N.
    """
    if weights.shape != (texts,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(
            f"Weights of shape {weights.shape} do not fit {texts} texts; give each text one "
            "positive finite weight, or none at all."
        )


def shares_of(weights: np.ndarray) -> np.ndarray | None:
    """Each weight's share of their sum, shape (N,); None where all weights are equal.

    So texts that are weighted alike give exactly the numbers of texts without weights.

    Parameters
    ----------
    weights
        Positive and finite, shape (N,).
    """
    if (weights == weights[0]).all():
        return None
    shares = weights / weights.max()
    return shares / shares.sum()
