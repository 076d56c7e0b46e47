"""Numerics: one exponent from several estimates - of seeds, or of windows that do not overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.fractional_motion import standard_error

FEWEST_CHECKPOINTS = 5
"""Checkpoints below which an estimate is not combined with others."""

_DIFFERENT = 0.05

COLUMNS = (
    *("space", "over", "t0", "estimates", "exponent", "low", "high"),
    *("standard_error", "heterogeneity"),
)


class Combined(NamedTuple):
    """A weighted mean of estimates of one exponent.

    Attributes
    ----------
    exponent, low, high, standard_error
        The mean, its 95 % interval and its standard error.
    heterogeneity
        p-value of Cochran's Q: small where the estimates differ more than their errors allow.
    """

    exponent: float
    low: float
    high: float
    standard_error: float
    heterogeneity: float


def combined(exponents: ArrayLike, standard_errors: ArrayLike) -> Combined:
    """Weighted mean of independent estimates of one exponent.

    Parameters
    ----------
    exponents
        Shape (k,), k >= 2.
    standard_errors
        Of each, positive, shape (k,).

    Raises
    ------
    InputError
        If there are fewer than two, or one is not finite or has no positive error.

    Notes
    -----
    Weights are 1 / SE^2. Where the estimates scatter more than their errors say, Q > k - 1, the
    standard error is multiplied by sqrt(Q / (k - 1)), as the Particle Data Group does. The interval
    takes the normal quantile, or, where ``heterogeneity`` is below 0.05 so that the scatter is all
    that is known of the error, the t quantile of k - 1 degrees of freedom.
    """
    values = np.asarray(exponents, dtype=np.float64)
    errors = np.asarray(standard_errors, dtype=np.float64)
    if values.size < 2 or values.shape != errors.shape:
        raise InputError(
            f"{values.size} exponents with {errors.size} errors cannot be combined; give two or "
            "more, each with its standard error."
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & np.isfinite(errors) & (errors > 0)))
    if wrong.size:
        raise InputError(
            f"The exponent {values[wrong[0]]} with the standard error {errors[wrong[0]]} cannot be "
            "combined with others; give a finite one with a positive error."
        )
    weights = 1.0 / errors**2
    mean = float(weights @ values / weights.sum())
    error = float(1.0 / np.sqrt(weights.sum()))
    free = values.size - 1
    scatter = float(weights @ (values - mean) ** 2)
    quantile = float(stats.norm.ppf(0.975))
    if scatter > free:
        error *= float(np.sqrt(scatter / free))
    differ = float(stats.chi2.sf(scatter, free))
    if differ < _DIFFERENT:
        quantile = float(stats.t.ppf(0.975, free))
    return Combined(mean, mean - quantile * error, mean + quantile * error, error, differ)


def combined_table(diffusion: pd.DataFrame, start: int | None = None) -> pd.DataFrame:
    """Exponents combined over trajectories at one t0, and over each one's disjoint windows.

    Parameters
    ----------
    diffusion
        Columns ``trajectory``, ``space``, ``t0``, ``t1``, ``exponent``, ``checkpoints``,
        ``directions``, ``text_error``, ``standard_error``.
    start
        The t0 at which trajectories are combined; None for no such rows.

    Returns
    -------
    DataFrame
        Columns of `COLUMNS`, a row a space and what was combined: ``over`` is ``trajectories``
        (with its ``t0``) or ``windows of`` a trajectory, which begin at its first t0 and
        then each where the one before ended; ``estimates`` is how many. Windows of fewer than 5
        checkpoints, and those whose directions are unknown, are left out.

    Notes
    -----
    An error grows with the exponent, so that estimates weighted by their own errors are
    pulled down. Each error is therefore that of the mean exponent of all.
    """
    usable = diffusion[
        (diffusion["checkpoints"] >= FEWEST_CHECKPOINTS)
        & diffusion["directions"].notna()
        & (diffusion["standard_error"] > 0)
    ]
    rows = []
    for space, own in usable.groupby("space", sort=False):
        at = own[own["t0"] == start] if start is not None else own.iloc[:0]
        if len(at) > 1:
            rows.append((space, "trajectories", start, len(at), *_of(at)))
        for name, line in own.groupby("trajectory", sort=False):
            apart = _disjoint(line)
            if len(apart) > 1:
                rows.append((space, f"windows of {name}", None, len(apart), *_of(apart)))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.astype({"t0": "Int64", "estimates": "int64"})


def _of(rows: pd.DataFrame) -> Combined:
    mean = float(rows["exponent"].mean())
    errors = []
    for row in rows.itertuples():
        of_mean, of_own = (
            _even(int(row.checkpoints), c, row.directions) for c in (mean, row.exponent)
        )
        of_texts = 0.0 if np.isnan(row.text_error) else row.text_error
        errors.append(max(row.standard_error * of_mean / max(of_own, 1e-12), of_texts))
    return combined(rows["exponent"], errors)


def _even(checkpoints: int, exponent: float, directions: float) -> float:
    """The standard error of an exponent over evenly spaced checkpoints."""
    return standard_error(np.arange(1, checkpoints + 1), exponent, directions)


def _disjoint(line: pd.DataFrame) -> pd.DataFrame:
    """Windows of a trajectory from its first on, each beginning where the one before ended."""
    kept: list[int] = []
    end = -np.inf
    ordered = line.sort_values("t0")
    for position, (t0, t1) in enumerate(zip(ordered["t0"], ordered["t1"], strict=True)):
        if t0 >= end:
            kept.append(position)
            end = t1
    return ordered.iloc[kept]
