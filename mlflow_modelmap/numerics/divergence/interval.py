"""Numerics: the confidence interval of a KL divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mlflow_modelmap.errors import InputError


def confidence_interval(
    kl: ArrayLike, se: ArrayLike, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of a KL divergence, normal on the log scale (delta method).

    KL exp(-z SE / KL) to KL exp(z SE / KL): always positive, and longer upwards, as the sampling
    distribution of a mean of squares is.

    Parameters
    ----------
    kl, se
        Bits per byte, of shapes that broadcast together.
    level
        Coverage, between 0 and 1.

    Returns
    -------
    low, high : ndarray
        Bits per byte. A KL of exactly 0 gives 0 and 0; an upper end past the largest float is inf.

    Raises
    ------
    InputError
        If the level is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise InputError(
            f"A confidence level of {level} is not possible; give one between 0 and 1."
        )
    kl, se = np.asarray(kl, dtype=np.float64), np.asarray(se, dtype=np.float64)
    z = special.ndtri(0.5 + level / 2.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        stretch = np.exp(z * np.where(kl > 0, se / kl, 0.0))
        return kl / stretch, kl * stretch
