"""Numerics: embeddings of trajectories laid alike - turned so that training runs to the right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from mlflow_modelmap.errors import InputError


def aligned(coordinates: ArrayLike) -> np.ndarray:
    """A two-dimensional embedding centred, and turned so that training runs to the right.

    Separate embeddings have no common orientation (Appendix D.4, Figure 10); this gives each the
    same one: the direction in which the coordinates grow with time.

    Parameters
    ----------
    coordinates
        In order of step, shape (n, 2).

    Returns
    -------
    ndarray, shape (n, 2)
        Distances are kept.
    """
    x = np.asarray(coordinates, dtype=np.float64)
    x = x - x.mean(axis=0)
    time = np.arange(len(x)) - (len(x) - 1) / 2.0
    along = time @ x
    length = float(np.hypot(*along))
    if length == 0:
        return x
    cosine, sine = along / length
    return x @ np.array([[cosine, -sine], [sine, cosine]])


def classical_scaling(squared: ArrayLike, dimensions: int) -> np.ndarray:
    """Coordinates whose squared distances are the given ones, as far as so many allow.

    Parameters
    ----------
    squared
        Shape (n, n), symmetric, all known.
    dimensions
        How many; beyond what the distances span they are 0.

    Returns
    -------
    ndarray, shape (n, dimensions)
        Centred; the largest spread first.

    Raises
    ------
    InputError
        If the table is not square, or a distance is unknown.
    """
    table = np.asarray(squared, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not np.isfinite(table).all():
        raise InputError("Classical scaling needs every pair's distance, in a square table.")
    inner = -0.5 * (table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean())
    values, vectors = linalg.eigh(inner)
    order = np.argsort(values)[::-1][:dimensions]
    found = vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0))
    result = np.zeros((len(table), dimensions))
    result[:, : found.shape[1]] = found
    return result
