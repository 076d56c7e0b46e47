"""Numerics: the diffusion exponent of a path over one window, with its confidence interval.

||x_t - x_t0||^2 ~ |t - t0|^c, fitted by least squares on logs over a window of training steps
(paper, Section 4.2 and Appendix E.3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.diffusion.fractional_motion import (
    directions_of,
    interval,
    standard_error,
)
from mlflow_modelmap.numerics.diffusion.offset import MISFIT, NO_FIT, offset_fit
from mlflow_modelmap.numerics.diffusion.power_law import PowerLaw, power_law, slope_weights

FEWEST = 3
"""Checkpoints after t0 that a window needs."""


class Exponent(NamedTuple):
    """A diffusion exponent over one window.

    ``low`` and ``high`` bound its 95 % confidence interval and are NaN where it cannot be had;
    ``checkpoints`` is how many distances were fitted, ``directions`` the effective number of
    independent directions that the path moved in, ``text_error`` the standard error due to the
    sampling of the texts (NaN for weights). ``standard_error`` is the deviation of the slope
    under the fitted exponent (or ``text_error``, where that is larger). ``lack_of_fit`` is the
    p-value of the power law, and ``offset`` and ``exponent_with_offset`` are b and c of
    A lag^c + b; see `offset.offset_fit`, and NaN where they cannot be had.
    """

    exponent: float
    low: float
    high: float
    r2: float
    checkpoints: int
    directions: float
    text_error: float
    standard_error: float = float("nan")
    lack_of_fit: float = float("nan")
    offset: float = float("nan")
    exponent_with_offset: float = float("nan")


def means_something(found: Exponent) -> bool:
    """Whether an exponent can be read: it has an interval, and the power law is known to fit.

    The fit is judged from `offset.FEWEST_FOR_FIT` checkpoints on; below `offset.MISFIT` it is none.
    """
    return bool(np.isfinite([found.low, found.high]).all() and found.lack_of_fit >= MISFIT)


def exponent_of_coordinates(lags: ArrayLike, x: ArrayLike) -> Exponent:
    """Diffusion exponent of a path given by its coordinates, with a confidence interval.

    Parameters
    ----------
    lags
        Steps from t0, positive and ascending, shape (m,), m >= 3.
    x
        Coordinates at t0 and at each lag, shape (m + 1, N); for q and exp(q) a column a text.

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
    return _exponent(lags, fit, gram, text_error)


def exponent_of_distances(
    lags: ArrayLike,
    from_start: ArrayLike,
    between: ArrayLike | None = None,
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

    Returns
    -------
    Exponent

    Notes
    -----
    Residuals along one path are strongly correlated, so that the regression's own standard error
    is meaningless. The interval is made from fractional Brownian motion instead, the model by
    which the paper reads the exponent: it holds every c for which the observed slope lies within
    its central part (`fractional_motion.interval`). The slope's standard deviation is exact: of d
    independent directions, log D_k and log D_l have covariance
    sum_n rho^2n (n - 1)! / (n (d/2)_n), rho their correlation under c. The number of directions
    is the participation ratio (tr S)^2 / tr(S^2) of the path's covariance S, estimated without
    bias from the displacements after their correlation in time is taken out.

    With 3 lags there is no interval: none kept its promise. From 4 lags on it covers 93 to 99 %
    where it says 95, in one direction or 300, c from 0.2 to 1.5
    (``benchmarks/coverage_exponents.py``; docs/trajectories.md has the table) - if the path is a
    fractional Brownian motion, which ``lack_of_fit`` asks. A path with a drift in one direction
    counts as one of few directions; its interval is then wide.
    """
    lags = np.asarray(lags, dtype=np.float64)
    squared = np.asarray(from_start, dtype=np.float64)
    fit = power_law(lags, squared)
    gram = None
    if between is not None:
        table = np.asarray(between, dtype=np.float64)
        if np.isfinite(table).all():
            gram = (squared[:, None] + squared - table) / 2.0
    return _exponent(lags, fit, gram, float("nan"))


def _exponent(
    lags: np.ndarray, fit: PowerLaw, gram: np.ndarray | None, text_error: float
) -> Exponent:
    nan = float("nan")
    if lags.size < FEWEST or gram is None:
        return Exponent(fit.exponent, nan, nan, fit.r2, lags.size, nan, text_error)
    directions = directions_of(gram, lags, fit.exponent)
    least = 0.0 if np.isnan(text_error) else text_error
    low, high = interval(lags, fit.exponent, directions, least)
    error = max(standard_error(lags, fit.exponent, directions), least)
    judged = offset_fit(gram, lags) if np.trace(gram) > 0 else NO_FIT
    return Exponent(
        fit.exponent,
        low,
        high,
        fit.r2,
        lags.size,
        directions,
        text_error,
        error,
        judged.lack_of_fit,
        judged.offset,
        judged.exponent,
    )
