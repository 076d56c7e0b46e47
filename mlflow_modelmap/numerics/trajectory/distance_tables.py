"""Numerics: squared distances between the checkpoints of one trajectory as a square table."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory


def squared_distances(
    q: ArrayLike, trajectory: Trajectory, most_steps: float | None = None
) -> np.ndarray:
    """Squared distances between the checkpoints of one trajectory, which are KL in bits/byte.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    trajectory
        Its rows are those of `q`.
    most_steps
        Pairs further apart in training than that are left NaN; None for all pairs.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.
    """
    n = len(trajectory)
    i, j = np.triu_indices(n, 1)
    if most_steps is not None:
        near = trajectory.steps[j] - trajectory.steps[i] <= most_steps
        i, j = i[near], j[near]
    table = np.full((n, n), np.nan)
    np.fill_diagonal(table, 0.0)
    kl, _ = kl_pairs(q, trajectory.rows[i], trajectory.rows[j])
    table[i, j] = kl
    table[j, i] = kl
    return table


def distance_table(
    steps_from: ArrayLike, steps: ArrayLike, squared: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Listed squared distances as a square table; pairs that are not listed are NaN.

    Parameters
    ----------
    steps_from, steps, squared
        One entry a pair of checkpoints, shape (p,).

    Returns
    -------
    steps : ndarray of int64, shape (n,)
        Ascending.
    table : ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.

    Raises
    ------
    InputError
        If a distance is negative or not finite.
    """
    first = np.asarray(steps_from, dtype=np.int64)
    second = np.asarray(steps, dtype=np.int64)
    values = np.asarray(squared, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if wrong.size:
        at = wrong[0]
        raise InputError(
            f"The squared distance between steps {first[at]} and {second[at]} is {values[at]}; "
            "it must be finite, and 0 or more."
        )
    found, index = np.unique(np.concatenate((first, second)), return_inverse=True)
    i, j = index[: first.size], index[first.size :]
    table = np.full((found.size, found.size), np.nan)
    table[i, j] = values
    table[j, i] = values
    np.fill_diagonal(table, 0.0)
    return found, table
