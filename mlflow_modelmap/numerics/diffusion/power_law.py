"""Numerics: a power law fitted to squared distances by least squares on logs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError


class PowerLaw(NamedTuple):
    """Least squares on logs: the slope, the intercept and the coefficient of determination."""

    exponent: float
    intercept: float
    r2: float


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


def slope_weights(lags: np.ndarray) -> np.ndarray:
    """The least-squares slope on log lags is this times the log distances; shape (m,).

    Parameters
    ----------
    lags
        Steps from t0, positive, at least two different ones, shape (m,).
    """
    x = np.log(lags)
    centred = x - x.mean()
    return centred / (centred @ centred)
