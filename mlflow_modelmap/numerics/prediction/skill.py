"""Numerics: how good predictions are - r, RMSE, and one against another - over groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

WIDER = 1.4
"""How much longer than the jackknife's an interval is: errors of fits that share most of their
points go together, which it does not see. `benchmarks/coverage_predict.py` prints what 1 covers."""


class Interval(NamedTuple):
    """A value and where it lies with 95 %."""

    value: float
    low: float
    high: float


def correlation(
    predicted: np.ndarray, scores: np.ndarray, mean: np.ndarray, groups: np.ndarray
) -> Interval:
    """Pearson's r of predicted and measured scores, both less the mean of the training part.

    Less that mean, because it is low just where the scores that were left out are high: without
    it, predicting nothing but the mean would have r near -1, and chance an r below 0.

    The interval is Fisher's z with the error of a jackknife over groups, Student's t and `WIDER`.
    Its upper end is not below 0: of scores that have nothing to do with the map the r of left-out
    points is mostly somewhat below 0, although no prediction of new points is worse than chance.

    Parameters
    ----------
    predicted, scores, mean
        Out of fold; the mean is that of each point's training part. Shape (n,).
    groups
        Shape (n,), of two or more.

    Returns
    -------
    Interval
        NaN where a side does not vary.
    """
    x, y = predicted - mean, scores - mean
    sums = _by_group(groups, np.ones_like(x), x, y, x * x, y * y, x * y)
    r = _pearson(sums.sum(axis=0))
    z = np.arctanh(np.clip(_pearson(sums.sum(axis=0) - sums), -1 + 1e-12, 1 - 1e-12))
    half = _half(z, groups)
    centre = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    high = max(0.0, float(np.tanh(centre + half))) if np.isfinite(half) else np.nan
    return Interval(float(r), float(np.tanh(centre - half)), high)


def root_mean_square(predicted: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Interval:
    """RMSE, its interval normal on the log scale with a jackknife over groups.

    Parameters
    ----------
    predicted, scores, groups
        Shape (n,).
    """
    return _log_interval(groups, (predicted - scores) ** 2, np.ones_like(scores))


def ratio_of_errors(
    predicted: np.ndarray, other: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> Interval:
    """RMSE over that of other predictions of the same scores, paired; below 1 where it is better.

    Parameters
    ----------
    predicted, other, scores, groups
        Shape (n,).
    """
    return _log_interval(groups, (predicted - scores) ** 2, (other - scores) ** 2)


def _log_interval(groups: np.ndarray, above: np.ndarray, below: np.ndarray) -> Interval:
    """The root of a ratio of two sums, with its interval."""
    sums = _by_group(groups, above, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(sums.sum(axis=0)) / 2
        left = np.log(sums.sum(axis=0) - sums) / 2
        centre = ratio[0] - ratio[1]
        half = _half(left[:, 0] - left[:, 1], groups)
    low, value, high = np.exp([centre - half, centre, centre + half])
    return Interval(float(value), float(low), float(high))


def _by_group(groups: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Sums of each column over each group, shape (G, columns)."""
    codes = np.unique(groups, return_inverse=True)[1]
    return np.stack([np.bincount(codes, weights=column) for column in columns], axis=1)


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))


def _half(left_out: np.ndarray, groups: np.ndarray) -> float:
    """Half an interval from a jackknife over groups."""
    count = len(left_out)
    variance = (count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum())
    return float(WIDER * stats.t.ppf(0.975, degrees(groups)) * np.sqrt(variance))


def degrees(groups: np.ndarray) -> float:
    """Degrees of freedom of an error over groups: their effective number less 1, at least 1.

    Parameters
    ----------
    groups
        Shape (n,); sizes are weighed as by Kish, (sum n)^2 / sum n^2.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(float)
    return max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1.0)
