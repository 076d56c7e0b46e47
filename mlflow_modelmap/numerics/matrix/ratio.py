"""Numerics: a ratio of two sums over texts, such as bits per byte, and its standard error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.sampling import (
    check_documents,
    clusters_of,
    variance_of_sum,
)


def ratio_and_error(
    above: ArrayLike,
    below: ArrayLike,
    weights: ArrayLike | None = None,
    documents: np.ndarray | None = None,
) -> tuple[float, float]:
    """sum(w a) / sum(w b) over texts, and its standard error.

    The error is that of the ratio's linear part, so that texts of unequal size do not count as
    noise, taken over documents where they are known; NaN where all texts are of one document.

    Parameters
    ----------
    above, below
        A value and a size of each text, shape (N,).
    weights
        Importance weights, shape (N,), not negative; their scale does not matter. None: every
        text counts the same.
    documents
        The number of each text's document, shape (N,), -1 for none; None: texts are independent.

    Returns
    -------
    ratio, se : float

    Raises
    ------
    InputError
        If the shapes differ, or a weight is negative or none is positive.
    """
    values = np.asarray(above, dtype=np.float64)
    size = np.asarray(below, dtype=np.float64)
    w = np.ones(size.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not values.shape == size.shape == w.shape:
        raise InputError(
            f"Values of shape {values.shape}, sizes of shape {size.shape} and weights of "
            f"shape {w.shape} do not fit together; give one of each a text."
        )
    if not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise InputError(
            "The weights do not fit the texts; give one finite weight a text, none negative "
            "and not all zero."
        )
    if documents is not None:
        check_documents(documents, size.size)
    found = ratios(values[None], size, w)
    return float(found[0]), float(ratio_errors(values[None], size, w, found, documents)[0])


def ratios(above: np.ndarray, below: np.ndarray, w: np.ndarray) -> np.ndarray:
    """sum(w a) / sum(w b) of each row of `above`, shape (K,); never -0."""
    return above @ w / (w @ below) + 0.0


def ratio_errors(
    above: np.ndarray,
    below: np.ndarray,
    w: np.ndarray,
    found: np.ndarray,
    documents: np.ndarray | None,
) -> np.ndarray:
    """Standard error of each row's ratio, that of its linear part, shape (K,)."""
    residual = (above - found[:, None] * below) * w
    return np.sqrt(variance_of_sum(residual, clusters_of(documents))) / (w @ below)
