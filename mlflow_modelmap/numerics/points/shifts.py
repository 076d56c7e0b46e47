"""Numerics: shifts of log-likelihood vectors - how alike two are, what a sum of them explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.sampling import Clusters, Sampling, variance_of_sum


def cosine_with_error(
    first: ArrayLike, second: ArrayLike, sampling: Sampling | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarity of shifts of coordinates, and its standard error over the choice of texts.

    Coordinates are centred over texts, so the cosine is the correlation of the two changes of the
    log-likelihoods; its error is that of the linear part (each text's influence on it), summed over
    documents where texts have them.

    Parameters
    ----------
    first, second
        Differences of coordinates, shape (..., N); they broadcast.
    sampling
        `LogLikelihoodMatrix.sampling`; None for independent texts.

    Returns
    -------
    cosine, se : ndarray of float64, shape (...)
        NaN where a shift is 0 and has no direction.
    """
    x, y = _both(first, second)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = x / np.linalg.norm(x, axis=-1, keepdims=True)
        y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    products = x * y
    cosine = np.clip(products.sum(axis=-1), -1.0, 1.0)
    influence = products - cosine[..., None] * (x * x + y * y) / 2
    return cosine, np.sqrt(variance_of_sum(influence, _documents(sampling)))


def unexplained(
    measured: ArrayLike, predicted: ArrayLike, sampling: Sampling | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which share of a shift's squared length a prediction leaves, |m - p|^2 / |m|^2, and its SE.

    0 is a perfect prediction, 1 what predicting no shift at all would leave; a bad prediction
    leaves more than there was.

    Parameters
    ----------
    measured, predicted, sampling
        As for `cosine_with_error`.

    Returns
    -------
    share, se : ndarray of float64, shape (...)
        NaN where the measured shift is 0.
    """
    m, p = _both(measured, predicted)
    rest, there = (m - p) ** 2, m**2
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = there.sum(axis=-1)
        whole = np.where(whole > 0, whole, np.nan)
        share = rest.sum(axis=-1) / whole
        influence = (rest - share[..., None] * there) / whole[..., None]
    return share, np.sqrt(variance_of_sum(influence, _documents(sampling)))


def _documents(sampling: Sampling | None) -> Clusters | None:
    return None if sampling is None else sampling.clusters


def _both(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim < 1 or y.ndim < 1 or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"Shifts of shapes {x.shape} and {y.shape} cannot be compared; give two of the same "
            "texts."
        )
    return x, y
