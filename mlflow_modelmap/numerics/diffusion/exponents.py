"""Numerics: diffusion exponents of trajectories, their error, and what follows from them.

||x_t - x_t0||^2 ~ |t - t0|^c, fitted by least squares on logs over a window of training steps
(paper, Section 4.2 and Appendix E.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.fractional_motion import (
    directions_of,
    interval,
    slope_weights,
)

FEWEST = 3
"""Checkpoints after t0 that a window needs."""


class PowerLaw(NamedTuple):
    """Least squares on logs: the slope, the intercept and the coefficient of determination."""

    exponent: float
    intercept: float
    r2: float


class Exponent(NamedTuple):
    """A diffusion exponent over one window.

    ``low`` and ``high`` bound its confidence interval and are NaN where it cannot be had;
    ``checkpoints`` is how many distances were fitted, ``directions`` the effective number of
    independent directions that the path moved in, ``text_error`` the standard error due to the
    sampling of the texts (NaN for weights).
    """

    exponent: float
    low: float
    high: float
    r2: float
    checkpoints: int
    directions: float
    text_error: float


class Interval(NamedTuple):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


def power_law(lags: ArrayLike, squared: ArrayLike) -> PowerLaw:
    """Fit log(squared distance) = c log(lag) + b by least squares.

    Parameters
    ----------
    lags
        Steps from t0, positive, at least two different ones, shape (m,).
    squared
        Squared distances from t0, positive, shape (m,).

    Returns
    -------
    PowerLaw
        R^2 is 1 where the distances do not vary at all.

    Raises
    ------
    InputError
        If a lag or a distance is not positive and finite, or all lags are equal.
    """
    lags = np.asarray(lags, dtype=np.float64)
    squared = np.asarray(squared, dtype=np.float64)
    if lags.ndim != 1 or lags.shape != squared.shape or np.unique(lags).size < 2:
        raise InputError(
            f"An exponent cannot be fitted to {squared.size} distances at {lags.size} lags; two "
            "different lags or more are needed."
        )
    for what, values in (("lag", lags), ("squared distance", squared)):
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if wrong.size:
            raise InputError(
                f"The {what} of checkpoint {int(wrong[0]) + 1} after the start is "
                f"{values[wrong[0]]}; a power law is fitted to positive values only."
            )
    x, y = np.log(lags), np.log(squared)
    slope = float(slope_weights(lags) @ y)
    intercept = float(y.mean() - slope * x.mean())
    total = float(np.sum((y - y.mean()) ** 2))
    residual = float(np.sum((y - intercept - slope * x) ** 2))
    return PowerLaw(slope, intercept, 1.0 - residual / total if total > 0 else 1.0)


def exponent_of_coordinates(lags: ArrayLike, x: ArrayLike, level: float = 0.95) -> Exponent:
    """Diffusion exponent of a path given by its coordinates, with a confidence interval.

    Parameters
    ----------
    lags
        Steps from t0, positive and ascending, shape (m,), m >= 3.
    x
        Coordinates at t0 and at each lag, shape (m + 1, N); for q and exp(q) a column a text.
    level
        Coverage of the interval.

    Returns
    -------
    Exponent
        Its interval is that of `exponent_of_distances`, made wider where the sampling of the
        texts alone leaves a larger error: the standard error of the least-squares slope over
        texts is the root of the sum over texts of (sum_k w_k d_sk^2 / D_k)^2, w the weights of
        the slope.
    """
    x = np.asarray(x, dtype=np.float64)
    moved = x[1:] - x[0]
    gram = moved @ moved.T
    squared = np.diagonal(gram).copy()
    lags = np.asarray(lags, dtype=np.float64)
    fit = power_law(lags, squared)
    influence = (slope_weights(lags) / squared) @ np.square(moved, out=moved)
    text_error = float(np.sqrt(influence @ influence))
    return _exponent(lags, fit, gram, text_error, level)


def exponent_of_distances(
    lags: ArrayLike,
    from_start: ArrayLike,
    between: ArrayLike | None = None,
    level: float = 0.95,
) -> Exponent:
    """Diffusion exponent of a path given by its squared distances, with a confidence interval.

    Parameters
    ----------
    lags
        Steps from t0, positive and ascending, shape (m,), m >= 3.
    from_start
        Squared distances from t0, shape (m,).
    between
        Squared distances between the m checkpoints, shape (m, m); where they are unknown (None
        or NaN) there is no interval.
    level
        Coverage of the interval.

    Returns
    -------
    Exponent

    Notes
    -----
    Residuals along one path are strongly correlated, so that the regression's own standard error
    is meaningless. The interval is made from fractional Brownian motion instead, the model by
    which the paper reads the exponent: it holds every c for which the observed slope lies within
    its central part (a t quantile with m (m - 1) / 2 degrees of freedom times the slope's standard
    deviation). That standard deviation is exact: of d independent directions, log D_k and log D_l
    have covariance sum_n rho^2n (n - 1)! / (n (d/2)_n), rho their correlation under c. The number
    of directions is the participation ratio (tr S)^2 / tr(S^2) of the path's covariance S,
    estimated without bias from the displacements after their correlation in time is taken out.

    Coverage measured for 95 % on 600 generated paths each, windows of 3 to 10 lags, c from 0.1 to
    1.5: 0.95 to 0.99 from 2 directions to 500, with equal and with unequal variances, and 0.93 to
    0.95 in a single direction (``tests/numerics/diffusion/test_exponents.py`` repeats a part of it;
    docs/trajectories.md has the table). A path with a drift in one
    direction counts as one of few directions; its interval is then wide.
    """
    lags = np.asarray(lags, dtype=np.float64)
    squared = np.asarray(from_start, dtype=np.float64)
    fit = power_law(lags, squared)
    gram = None
    if between is not None:
        table = np.asarray(between, dtype=np.float64)
        if np.isfinite(table).all():
            gram = (squared[:, None] + squared - table) / 2.0
    return _exponent(lags, fit, gram, float("nan"), level)


def windows(
    steps: ArrayLike, window: float, first: float = 0.0, fewest: int = FEWEST
) -> Iterator[tuple[int, np.ndarray]]:
    """Start and members of every window of so many steps that fits into a trajectory.

    Parameters
    ----------
    steps
        Training steps, ascending, shape (n,).
    window
        Length in steps, so that missing checkpoints make a window thinner, never longer.
    first
        The earliest t0.
    fewest
        Windows with fewer checkpoints after t0 are passed over.

    Yields
    ------
    start, members
        Position of t0, and positions of the checkpoints after it up to t0 + window.
    """
    steps = np.asarray(steps, dtype=np.int64)
    for start in np.flatnonzero((steps >= first) & (steps + window <= steps[-1])):
        stop = int(np.searchsorted(steps, steps[start] + window, side="right"))
        if stop - start - 1 >= fewest:
            yield int(start), np.arange(start + 1, stop)


def check_window(steps: ArrayLike, window: float, first: float, name: str) -> None:
    """Raise an `InputError` that says why, where no window fits into a trajectory."""
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
    level: float = 0.95,
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
    level
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Columns ``t0``, ``t1`` (the last checkpoint used), and those of `Exponent`. Checkpoints
        that are identical with the one at t0, or whose distance from it is unknown, are not
        fitted; a window that is left with fewer than three is passed over. Where only the
        distances between the later checkpoints of a window are unknown, its interval takes the
        median number of directions of the trajectory's other windows.
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
            found = exponent_of_coordinates(lags, x[np.append(start, members)], level)
        else:
            assert squared is not None
            found = exponent_of_distances(
                lags, squared[start, members], squared[np.ix_(members, members)], level
            )
        rows.append((steps[start], steps[members[-1]], lags, found))
    directions = np.array([found.directions for *_, found in rows])
    known = directions[np.isfinite(directions)]
    result = []
    for t0, t1, lags, found in rows:
        if not np.isfinite(found.directions) and known.size:
            low, high = interval(lags, found.exponent, float(np.median(known)), 0.0, level)
            found = found._replace(low=low, high=high)
        result.append((t0, t1, *found))
    frame = pd.DataFrame(result, columns=["t0", "t1", *Exponent._fields])
    return frame.astype({"t0": np.int64, "t1": np.int64, "checkpoints": np.int64})


def ratio(numerator: Interval, denominator: Interval) -> Interval:
    """Ratio of two estimates with its confidence interval: the Hoelder exponent c_q / c_w.

    The interval is recovered from those of the two (Donner and Zou's method), taken as
    independent; their errors rather go together along one training, which makes it too wide, not
    too narrow. Where the denominator's interval reaches 0 the ends are NaN.

    Raises
    ------
    InputError
        If the denominator is 0.
    """
    a, b = numerator.value, denominator.value
    if b == 0:
        raise InputError("A ratio to an exponent of 0 does not exist; the weights do not diffuse.")
    nan = float("nan")
    if not denominator.low > 0 or not np.isfinite([*numerator, *denominator]).all():
        return Interval(a / b, nan, nan)
    product = a * b

    def end(numerator_end: float, denominator_end: float, sign: int) -> float:
        bottom = denominator_end * (2.0 * b - denominator_end)
        inside = product**2 - numerator_end * (2.0 * a - numerator_end) * bottom
        if bottom <= 0 or inside < 0:
            return nan
        return float((product + sign * np.sqrt(inside)) / bottom)

    return Interval(
        a / b,
        end(numerator.low, denominator.high, -1),
        end(numerator.high, denominator.low, +1),
    )


def effective_dimension(exponent: Interval) -> Interval:
    """D = 2 / c, the dimension of a path of fractional Brownian motion (Appendix B).

    Raises
    ------
    InputError
        If c is not positive: a path that does not spread has no such dimension.
    """
    if not exponent.value > 0:
        raise InputError(
            f"An exponent of {exponent.value:.3g} has no effective dimension; it must be positive."
        )
    nan = float("nan")
    return Interval(
        2.0 / exponent.value,
        2.0 / exponent.high if exponent.high > 0 else nan,
        2.0 / exponent.low if exponent.low > 0 else nan,
    )


def _exponent(
    lags: np.ndarray, fit: PowerLaw, gram: np.ndarray | None, text_error: float, level: float
) -> Exponent:
    nan = float("nan")
    if lags.size < FEWEST or gram is None:
        return Exponent(fit.exponent, nan, nan, fit.r2, lags.size, nan, text_error)
    directions = directions_of(gram, lags, fit.exponent)
    least = 0.0 if np.isnan(text_error) else text_error
    low, high = interval(lags, fit.exponent, directions, least, level)
    return Exponent(fit.exponent, low, high, fit.r2, lags.size, directions, text_error)
