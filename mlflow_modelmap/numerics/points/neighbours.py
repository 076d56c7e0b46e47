"""Numerics: which points lie nearest to each point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError


def nearest(
    kl: pd.DataFrame | np.ndarray, se: pd.DataFrame | np.ndarray, k: int = 3
) -> pd.DataFrame:
    """The k nearest other points of every point, nearest first; of equals, the earlier one.

    Parameters
    ----------
    kl, se
        KL divergence and its standard error in bits/byte, square, of the same shape. Points are
        named by the columns of a frame, by position in an array.
    k
        How many; all others where there are fewer.

    Returns
    -------
    DataFrame
        Columns ``point``, ``rank`` (from 1), ``neighbour``, ``kl``, ``se``; K min(k, K - 1) rows.
    """
    values, errors = np.asarray(kl, dtype=np.float64), np.asarray(se, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.shape != errors.shape:
        raise InputError(
            f"KL of shape {values.shape} and its errors of shape {errors.shape} "
            "are not square and alike."
        )
    if k < 1:
        raise InputError(f"{k} neighbours cannot be listed; ask for 1 or more.")
    points = len(values)
    k = min(k, points - 1)
    found = np.empty((points, k), dtype=np.intp)
    if k:
        for point in range(points):
            row = values[point].copy()
            row[point] = np.inf
            near = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
            near = near[near != point]
            found[point] = near[np.argsort(row[near], kind="stable")][:k]
    names = kl.columns.to_numpy() if isinstance(kl, pd.DataFrame) else np.arange(points)
    each = np.arange(points)[:, None]
    return neighbours_table(names, found, values[each, found], errors[each, found])


def neighbours_table(
    names: Sequence[object] | np.ndarray, rows: np.ndarray, kl: np.ndarray, se: np.ndarray
) -> pd.DataFrame:
    """The table of `nearest`, from the neighbours' rows, KL and standard errors, shape (K, k)."""
    points, k = rows.shape
    named = np.asarray(names, dtype=object)
    return pd.DataFrame(
        {
            "point": named[np.repeat(np.arange(points), k)],
            "rank": np.tile(np.arange(1, k + 1), points),
            "neighbour": named[rows.ravel()],
            "kl": kl.ravel(),
            "se": se.ravel(),
        }
    )
