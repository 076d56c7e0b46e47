"""Numerics: bits per byte - how well a model predicts a text set, and two models compared in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.ratio import ratio_and_error, ratio_errors, ratios


def bits_and_error(
    log_likelihoods: ArrayLike,
    text_bytes: ArrayLike,
    weights: ArrayLike | None = None,
    documents: np.ndarray | None = None,
) -> tuple[float, float]:
    """Bits per byte of one log-likelihood vector, and its standard error over the texts.

    -sum(w l) / (sum(w b) ln 2). Bits per byte are a ratio of two sums over texts; the error is
    that of their linear part, so that texts of unequal length do not count as noise, taken over
    documents where they are known; NaN where all texts are of one document.

    Parameters
    ----------
    log_likelihoods
        Nats, shape (N,).
    text_bytes
        UTF-8 bytes of what was scored of each text, shape (N,).
    weights
        Importance weights, shape (N,), not negative; their scale does not matter. None: every
        text counts the same.
    documents
        The number of each text's document, shape (N,), -1 for none; None: texts are independent.

    Returns
    -------
    bits, se : float

    Raises
    ------
    InputError
        If the shapes differ, or a weight is negative or none is positive.
    """
    bits = np.asarray(log_likelihoods, dtype=np.float64) / -np.log(2.0)
    return ratio_and_error(bits, text_bytes, weights, documents)


def bits_per_byte_difference(
    l_i: ArrayLike,
    l_j: ArrayLike,
    text_bytes: ArrayLike,
    weights: ArrayLike | None = None,
    documents: np.ndarray | None = None,
) -> tuple[float, float]:
    """Bits per byte of i less those of j on the same texts, and the standard error of that.

    The two are paired: what makes a text hard for both cancels, so the error is mostly far
    smaller than those of the two values.

    Parameters
    ----------
    l_i, l_j
        Log-likelihoods in nats of the same N texts, shape (N,).
    text_bytes, weights, documents
        As in `bits_and_error`.

    Returns
    -------
    difference, se : float
        Positive where i predicts the texts worse.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    first, second = np.asarray(l_i, dtype=np.float64), np.asarray(l_j, dtype=np.float64)
    if first.shape != second.shape:
        raise InputError(
            f"Log-likelihood vectors of shapes {first.shape} and {second.shape} cannot be "
            "compared; give two of the same texts."
        )
    return bits_and_error(first - second, text_bytes, weights, documents)


def bits_per_byte(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """-mean(l) / (B ln 2) of each point, shape (K,): how well it predicts the text set."""
    return ratios(likelihoods_of(matrix), matrix.text_bytes * -np.log(2.0), _shares(matrix))


def bits_per_byte_standard_error(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Standard error of each point's bits per byte, shape (K,), over the choice of texts.

    It is that of `bits_and_error`.
    """
    below, w = matrix.text_bytes * -np.log(2.0), _shares(matrix)
    values = likelihoods_of(matrix)
    found = ratios(values, below, w)
    return np.abs(ratio_errors(values, below, w, found, matrix.documents))


def entropy_bound(matrix: LogLikelihoodMatrix) -> float:
    """Upper bound on the text set's entropy in bits/byte: the best point's (Appendix C)."""
    return float(bits_per_byte(matrix).min())


def likelihoods_of(matrix: LogLikelihoodMatrix) -> np.ndarray:
    return matrix.values if matrix.likelihoods is None else matrix.likelihoods


def _shares(matrix: LogLikelihoodMatrix) -> np.ndarray:
    texts = len(matrix.text_bytes)
    return np.full(texts, 1.0 / texts) if matrix.shares is None else matrix.shares
