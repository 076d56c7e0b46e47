"""Numerics: windows of training steps, and the diffusion exponent in each of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import (
    FEWEST,
    Exponent,
    exponent_of_coordinates,
    exponent_of_distances,
)
from mlflow_modelmap.numerics.diffusion.fractional_motion import interval, standard_error


def windows(
    steps: ArrayLike, window: float, first: float = 0.0
) -> Iterator[tuple[int, np.ndarray]]:
    """Start and members of every window of so many steps that fits into a trajectory.

    Windows with fewer than `FEWEST` checkpoints after t0 are passed over.

    Parameters
    ----------
    steps
        Training steps, ascending, shape (n,).
    window
        Length in steps, so that missing checkpoints make a window thinner, never longer.
    first
        The earliest t0.

    Yields
    ------
    start, members
        Position of t0, and positions of the checkpoints after it up to t0 + window.
    """
    steps = np.asarray(steps, dtype=np.int64)
    for start in np.flatnonzero((steps >= first) & (steps + window <= steps[-1])):
        stop = int(np.searchsorted(steps, steps[start] + window, side="right"))
        if stop - start - 1 >= FEWEST:
            yield int(start), np.arange(start + 1, stop)


def check_window(steps: ArrayLike, window: float, first: float, name: str) -> None:
    """Raise an `InputError` that says why, where no window fits into a trajectory.

    Parameters
    ----------
    steps, window, first
        As in `windows`.
    name
        What the trajectory is called.
    """
    steps = np.asarray(steps, dtype=np.int64)
    if window <= 0:
        raise InputError(f"A window of {window:g} steps is not possible; give a positive number.")
    if next(windows(steps, window, first), None) is not None:
        return
    late = steps[steps >= first]
    if not late.size or late[0] + window > late[-1]:
        span = int(late[-1] - late[0]) if late.size else 0
        raise InputError(
            f"The trajectory {name!r} spans {span} steps from step {first:g} on, fewer than the "
            f"window of {window:g}; give a shorter window or an earlier end of warm-up."
        )
    raise InputError(
        f"The trajectory {name!r} has fewer than {FEWEST + 1} checkpoints in every window of "
        f"{window:g} steps; give a longer window."
    )


def sliding_exponents(
    steps: ArrayLike,
    window: float,
    first: float = 0.0,
    *,
    coordinates: ArrayLike | None = None,
    table: ArrayLike | None = None,
) -> pd.DataFrame:
    """Diffusion exponents for every t0 (Figure 5, right; Table 4).

    Parameters
    ----------
    steps
        Training steps, ascending, shape (n,).
    window
        Length in steps.
    first
        The earliest t0.
    coordinates
        Shape (n, N); or
    table
        squared distances, shape (n, n), NaN where unknown.

    Returns
    -------
    DataFrame
        Columns ``t0``, ``t1`` (the last checkpoint used), and those of `Exponent`. Checkpoints
        that are identical with the one at t0, or whose distance from it is unknown, are not
        fitted; a window that is left with fewer than three is passed over. Where only the
        distances between the later checkpoints of a window are unknown, its interval takes the
        median number of directions of the trajectory's other windows.

    Raises
    ------
    InputError
        Unless one of coordinates and table is given.
    """
    steps = np.asarray(steps, dtype=np.int64)
    if (coordinates is None) == (table is None):
        raise InputError("Give coordinates or a table of squared distances, one of the two.")
    rows = []
    x = None if coordinates is None else np.asarray(coordinates, dtype=np.float64)
    squared = None if table is None else np.asarray(table, dtype=np.float64)
    for start, members in windows(steps, window, first):
        if x is not None:
            moved = np.array([not np.array_equal(x[k], x[start]) for k in members])
        else:
            assert squared is not None
            moved = squared[start, members] > 0
        members = members[moved]
        if members.size < FEWEST:
            continue
        lags = steps[members] - steps[start]
        if x is not None:
            found = exponent_of_coordinates(lags, x[np.append(start, members)])
        else:
            assert squared is not None
            found = exponent_of_distances(
                lags, squared[start, members], squared[np.ix_(members, members)]
            )
        rows.append((steps[start], steps[members[-1]], lags, found))
    directions = np.array([found.directions for *_, found in rows])
    known = directions[np.isfinite(directions)]
    result = []
    for t0, t1, lags, found in rows:
        if not np.isfinite(found.directions) and known.size:
            usual = float(np.median(known))
            low, high = interval(lags, found.exponent, usual, 0.0)
            error = standard_error(lags, found.exponent, usual)
            found = found._replace(low=low, high=high, standard_error=error)
        result.append((t0, t1, *found))
    frame = pd.DataFrame(result, columns=["t0", "t1", *Exponent._fields])
    return frame.astype({"t0": np.int64, "t1": np.int64, "checkpoints": np.int64})
