"""Figures: the interval that all pictures draw, and the words for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.divergence.interval import (
    FEWEST_TEXTS,
    confidence_interval,
    mean_interval,
)

INTERVAL = "95 % interval"
MOST_BANDS = 12
"""More bands hide each other, and are not drawn."""
_MANY = 1e9


def kl_interval(kl: ArrayLike, se: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of a KL's 95 % interval; where the error is unknown, the KL itself."""
    low, high = confidence_interval(np.asarray(kl, dtype=float), np.asarray(se, dtype=float))
    return _known(kl, low), _known(kl, high)


def exact_interval(
    value: ArrayLike, se: ArrayLike, texts: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the 95 % interval of an exact KL, which is a mean; never below 0.

    Parameters
    ----------
    value, se
        Bits per byte.
    texts
        Over how many texts, where that is known; else they are taken to be many.
    """
    low, high = mean_interval(
        np.asarray(value, dtype=float),
        np.asarray(se, dtype=float),
        texts=_MANY if texts is None else texts,
    )
    return np.maximum(_known(value, low), 0.0), _known(value, high)


def with_intervals(table: pd.DataFrame, units: float) -> pd.DataFrame:
    """A table whose errors are unknown where too few independent units give no interval.

    Parameters
    ----------
    table
        With columns ``se`` or ``..._se``.
    units
        Texts, or documents that they are pieces of: `LogLikelihoodMatrix.units`.
    """
    if units >= FEWEST_TEXTS:
        return table
    return table.assign(**{c: np.nan for c in table.columns if c == "se" or c.endswith("_se")})


def lengths(value: ArrayLike, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """How far an interval reaches to both sides, shape (2, n), as error bars take it."""
    value, (low, high) = np.asarray(value, dtype=float), ends
    return np.maximum(np.stack([value - low, high - value]), 0.0)


def _known(value: ArrayLike, end: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(end), end, np.asarray(value, dtype=float))
