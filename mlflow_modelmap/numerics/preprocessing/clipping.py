"""Numerics: clipping - the lowest log-likelihoods are raised to a quantile (Appendix E.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix

CLIP = 0.02


def clip_bottom(
    matrix: LogLikelihoodMatrix, quantile: float = CLIP
) -> tuple[LogLikelihoodMatrix, float, int]:
    """Raise log-likelihoods below a quantile of all values to it.

    Each value counts with its text's weight, so that few weighted texts are clipped where the many
    that they stand for would be.

    Parameters
    ----------
    matrix
        Log-likelihoods in nats, shape (K, N).
    quantile
        From 0 to 1.

    Returns
    -------
    matrix, value, count
        The clipped matrix, the quantile's value in nats, and how many values were below it.
    """
    value = float(_quantile(matrix.values, quantile, matrix.shares))
    below = int(np.count_nonzero(matrix.values < value))
    return replace(matrix, values=np.maximum(matrix.values, value)), value, below


def _quantile(values: np.ndarray, quantile: float, shares: np.ndarray | None) -> np.floating:
    if shares is None:
        return np.quantile(values, quantile)
    order = np.argsort(values, axis=None)
    reached = np.cumsum(np.broadcast_to(shares, values.shape).ravel()[order])
    at = np.searchsorted(reached, quantile * reached[-1])
    return values.ravel()[order[min(at, order.size - 1)]]
