"""Numerics: whether a trajectory oscillates - autocorrelation and its period (Figure 7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.spacing import most_common_gap
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

_LATE = 76 / 143
_CHANCE = 0.05


class Autocorrelation(NamedTuple):
    """Autocorrelation of a component at lags in steps, and the period read off it, or None.

    ``low`` and ``high`` bound at each lag where 95 % of the values of white noise lie.
    """

    lags: np.ndarray
    values: np.ndarray
    period: int | None
    low: np.ndarray
    high: np.ndarray


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
        None where there are no three, or where white noise could have that value: the band for
        one lag does not count here, but one that white noise leaves at any lag in 5 % of series
        or fewer (Bonferroni's).

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
    spacing = most_common_gap(np.diff(at))
    grid = np.arange(at[0], at[-1] + 1, spacing)
    regular = np.interp(grid, at, values)
    regular -= regular.mean()
    total = float(regular @ regular)
    if not total > 0:
        raise InputError("The component does not vary, so it has no autocorrelation.")
    acf = np.correlate(regular, regular, mode="full")[grid.size - 1 :] / total
    crossing = np.flatnonzero((acf[:-1] > 0) != (acf[1:] > 0))
    period = None
    deviation = _of_white_noise(grid.size)
    if crossing.size >= 3:
        start, stop = crossing[1] + 1, crossing[2] + 1
        peak = start + int(np.argmax(acf[start:stop]))
        least = stats.norm.isf(_CHANCE / grid.size)
        if acf[peak] + 1.0 / grid.size > least * deviation[peak]:
            period = int(peak * spacing)
    middle = np.where(np.arange(grid.size) > 0, -1.0 / grid.size, 1.0)
    half = stats.norm.isf(_CHANCE / 2.0) * deviation
    return Autocorrelation(
        np.arange(grid.size) * spacing, acf, period, middle - half, middle + half
    )


def _of_white_noise(size: int) -> np.ndarray:
    """Standard deviation of each lag's autocorrelation, of n independent normal values."""
    left = size - np.arange(size)
    deviation = np.sqrt(left) / size
    deviation[0] = 0.0
    return deviation


def late_part(trajectory: Trajectory) -> Trajectory:
    """The last 76/143 of a trajectory's steps, as the paper looks at 67k to 143k.

    Parameters
    ----------
    trajectory
        Any; at least its last checkpoint is kept.
    """
    length = trajectory.steps[-1] - trajectory.steps[0]
    return trajectory.where(trajectory.steps >= trajectory.steps[-1] - _LATE * length - 1e-6)
