"""Numerics: the confidence interval of a KL divergence, and of a difference of bits per byte.

Every interval of the two that is printed, drawn or decided by comes from here. The constants were
found by simulation; `benchmarks/coverage_kl.py` and `benchmarks/coverage_gate.py` print how often
the intervals cover the truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mlflow_modelmap.errors import InputError

FEWEST_TEXTS = 10
"""From fewer texts (or units that are independent) there is no interval."""
STRETCH = 5.0
"""How much longer the upper side of a KL's interval is, on the log scale, per unit of SE / KL."""
SKEWED = 2.0
"""How many times Johnson's correction for skewness the longer side of a mean's interval has."""


def confidence_interval(
    kl: ArrayLike, se: ArrayLike, level: float = 0.95, *, texts: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of a KL divergence, longer upwards the fewer texts carry it.

    With g = SE / KL and z the normal quantile: KL exp(-z g) to KL exp(z g (1 + 5 g)). A KL is a
    mean of squares, and g^2 is (kurtosis - 1) / (effective number of texts), so g alone says how
    few texts carry it. A sample that happens to lack its rare large squares is too small and has
    too small an error; the upper side is longer for that.

    Parameters
    ----------
    kl, se
        Bits per byte, of shapes that broadcast together.
    level
        Coverage, between 0 and 1.
    texts
        How many texts (or units that are independent) it was measured on, where that is known.

    Returns
    -------
    low, high : ndarray
        Bits per byte. A KL of exactly 0 gives 0 and 0; an upper end past the largest float is inf.
        NaN where `texts` are fewer than `FEWEST_TEXTS` or the error is unknown.

    Raises
    ------
    InputError
        If the level is not between 0 and 1.
    """
    z = _quantile(level)
    kl, se = np.asarray(kl, dtype=np.float64), np.asarray(se, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        g = np.where(kl > 0, se / kl, np.where(se == 0, 0.0, np.nan))
        low, high = kl / np.exp(z * g), kl * np.exp(z * g * (1.0 + STRETCH * g))
    if texts is not None:
        known = (np.asarray(texts, dtype=np.float64) >= FEWEST_TEXTS) | ((kl == 0) & (se == 0))
        low, high = np.where(known, low, np.nan), np.where(known, high, np.nan)
    return low, high


def mean_interval(
    value: ArrayLike,
    se: ArrayLike,
    level: float = 0.95,
    *,
    texts: ArrayLike,
    skewness: ArrayLike = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of a mean over texts, such as a difference of bits per byte.

    Student's t with texts - 1 degrees of freedom; on the side to which the texts are skewed it is
    longer by twice the correction of Johnson (1978), |s| (2 t^2 + 1) / 3 standard errors.

    Parameters
    ----------
    value, se
        Of one unit, of shapes that broadcast together.
    level
        Coverage, between 0 and 1.
    texts
        Effective number of texts (or units that are independent).
    skewness
        s, of the mean: the skewness of the texts over the root of their number; see
        `numerics.divergence.carried.skewness_of_mean`. 0 where it is unknown.

    Returns
    -------
    low, high : ndarray
        NaN where there are fewer than `FEWEST_TEXTS`, unless value and error are exactly 0.

    Raises
    ------
    InputError
        If the level is not between 0 and 1.
    """
    _quantile(level)
    value, se = np.asarray(value, dtype=np.float64), np.asarray(se, dtype=np.float64)
    texts = np.asarray(texts, dtype=np.float64)
    t = special.stdtrit(np.maximum(texts - 1.0, 1.0), 0.5 + level / 2.0)
    longer = SKEWED * np.asarray(skewness, dtype=np.float64) * (2.0 * t * t + 1.0) / 6.0
    known = np.where((texts >= FEWEST_TEXTS) | ((value == 0) & (se == 0)), 1.0, np.nan)
    low = (value - (t + np.maximum(-longer, 0.0)) * se) * known
    return low, (value + (t + np.maximum(longer, 0.0)) * se) * known


def _quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise InputError(
            f"A confidence level of {level} is not possible; give one between 0 and 1."
        )
    return float(special.ndtri(0.5 + level / 2.0))
