"""Numerics: the log-likelihood matrix L and the coordinates Q that a model map is made of."""

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
    """An InputError unless there is one positive finite weight a text."""
    if weights.shape != (texts,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(
            f"Weights of shape {weights.shape} do not fit {texts} texts; give each text one "
            "positive finite weight, or none at all."
        )


def shares_of(weights: np.ndarray) -> np.ndarray | None:
    """Each weight's share of their sum, shape (N,); None where all weights are equal.

    So texts that are weighted alike give exactly the numbers of texts without weights.
    """
    if (weights == weights[0]).all():
        return None
    shares = weights / weights.max()
    return shares / shares.sum()


def double_centre(values: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Subtract row means (over texts), then column means (over points); shape (K, N).

    With `shares`, shape (N,), the means over texts are weighted.
    """
    rows = _over_texts(values, shares)
    return rows - rows.mean(axis=0, keepdims=True)


def _over_texts(values: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    mean = values.mean(axis=1) if shares is None else values @ shares
    return values - mean[:, None]


def coordinates(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Q, double-centred and scaled so that squared distances are KL in bits/byte.

    Returns
    -------
    ndarray of float64, shape (K, N)
        Divided by sqrt(2 N B ln 2) (paper, Section 2). With weights, 1 / N is each text's share
        of them, so that a squared distance is the weighted variance over 2 B ln 2.
    """
    values = np.asarray(matrix.values, dtype=np.float64)
    return _scaled(double_centre(values, matrix.shares), matrix)


def text_centred(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Q before its columns are centred, shape (K, N): each row depends on its own point alone."""
    values = np.asarray(matrix.values, dtype=np.float64)
    return _scaled(_over_texts(values, matrix.shares), matrix)


def _scaled(centred: np.ndarray, matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Turn centred nats into coordinates, in place."""
    if matrix.shares is None:
        centred /= np.sqrt(2.0 * centred.shape[1] * matrix.mean_bytes * np.log(2.0))
    else:
        centred *= np.sqrt(matrix.shares / (2.0 * matrix.mean_bytes * np.log(2.0)))
    return centred


def exponential(q: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """exp(q) - 1 of coordinates: as far apart as exp(q), with the digits of small q; shape (K, N).

    Of weighted texts the exponential is taken of what each coordinate would be among N texts that
    count alike, q / sqrt(N a) with a its share, and scaled back.
    """
    if shares is None:
        return np.expm1(q)
    root = np.sqrt(shares * shares.size)
    return np.expm1(q / root) * root


def bits_per_byte(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """-mean(l) / (B ln 2) of each point, shape (K,): how well it predicts the text set."""
    shares = matrix.shares
    mean = matrix.values.mean(axis=1) if shares is None else matrix.values @ shares
    return -mean / (matrix.mean_bytes * np.log(2.0))


def bits_per_byte_standard_error(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Standard error of each point's bits per byte, shape (K,), over the choice of texts.

    Bits per byte are a ratio of two sums over texts, bits and bytes; this is the error of their
    linear part, so that texts of unequal length do not count as noise.
    """
    texts = len(matrix.text_bytes)
    ratio = bits_per_byte(matrix)
    residual = matrix.values / np.log(2.0)
    residual += ratio[:, None] * matrix.text_bytes
    if matrix.shares is not None:
        residual *= matrix.shares
        return np.sqrt(np.einsum("ij,ij->i", residual, residual)) / matrix.mean_bytes
    return np.sqrt(np.einsum("ij,ij->i", residual, residual)) / (texts * matrix.mean_bytes)


def entropy_bound(matrix: LogLikelihoodMatrix) -> float:
    """Upper bound on the text set's entropy in bits/byte: the best point's (Appendix C)."""
    return float(bits_per_byte(matrix).min())
