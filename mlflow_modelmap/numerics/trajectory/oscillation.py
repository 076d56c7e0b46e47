"""Numerics: what the pictures of trajectories need: autocorrelation, its period, alignment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory


class Autocorrelation(NamedTuple):
    """Autocorrelation of a component at lags in steps, and the period read off it, or None."""

    lags: np.ndarray
    values: np.ndarray
    period: int | None


def autocorrelation(steps: ArrayLike, component: ArrayLike) -> Autocorrelation:
    """Autocorrelation of one component of a trajectory (Figure 7).

    Parameters
    ----------
    steps
        Training steps, ascending, shape (n,), n >= 4.
    component
        Its value at each step, shape (n,).

    Returns
    -------
    Autocorrelation
        Up to the whole length, normalised by the variance (the biased estimate, which does not
        exceed 1). Missing checkpoints are filled in by lines at the most common spacing. The
        period is the lag of the largest value between the second and the third zero crossing;
        None where there are no three.

    Raises
    ------
    InputError
        If there are fewer than four steps, or the component does not vary.
    """
    at = np.asarray(steps, dtype=np.int64)
    values = np.asarray(component, dtype=np.float64)
    if at.size < 4 or at.shape != values.shape:
        raise InputError(
            f"{at.size} checkpoints are too few for an autocorrelation; four or more are needed."
        )
    gaps, counts = np.unique(np.diff(at), return_counts=True)
    spacing = int(gaps[counts == counts.max()].max())
    grid = np.arange(at[0], at[-1] + 1, spacing)
    regular = np.interp(grid, at, values)
    regular -= regular.mean()
    total = float(regular @ regular)
    if not total > 0:
        raise InputError("The component does not vary, so it has no autocorrelation.")
    acf = np.correlate(regular, regular, mode="full")[grid.size - 1 :] / total
    crossing = np.flatnonzero((acf[:-1] > 0) != (acf[1:] > 0))
    period = None
    if crossing.size >= 3:
        start, stop = crossing[1] + 1, crossing[2] + 1
        period = int((start + np.argmax(acf[start:stop])) * spacing)
    return Autocorrelation(np.arange(grid.size) * spacing, acf, period)


def late_part(trajectory: Trajectory, share: float = 76 / 143) -> Trajectory:
    """The last so much of a trajectory's steps; as the paper, which looks at 67k to 143k steps."""
    length = trajectory.steps[-1] - trajectory.steps[0]
    return trajectory.where(trajectory.steps >= trajectory.steps[-1] - share * length - 1e-6)


def aligned(coordinates: ArrayLike) -> np.ndarray:
    """A two-dimensional embedding centred, and turned so that training runs to the right.

    Separate embeddings have no common orientation (Appendix D.4, Figure 10); this gives each the
    same one: the direction in which the coordinates grow with time.

    Parameters
    ----------
    coordinates
        In order of step, shape (n, 2).
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
