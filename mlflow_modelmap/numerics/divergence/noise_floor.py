"""Numerics: the KL that arithmetic alone makes between two scores, and which KL lie within it.

A score is the model's log-likelihoods plus rounding: l + e, where e depends on batch shapes,
kernels and devices. Two scores of one model differ by e - e', so that they lie Var(e - e') / (2 B
ln 2) bits/byte apart although nothing differs but arithmetic: that is a score's noise KL, and with
independent rounding it is twice what one of them adds. Two models, each with rounding of its own,
are therefore estimated too far apart by the mean of their noise KL, the floor of the pair.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.divergence.kl import kl_between

TIMES = 2.0
"""A KL below so many floors is within the noise: a floor from 20 texts has a standard error of a
third of itself, so that twice the floor is three errors above it."""


def noise_kl(first: ArrayLike, second: ArrayLike, bytes_of_texts: ArrayLike) -> tuple[float, float]:
    """KL divergence between two scores of one model, and its standard error: Var / (2 B ln 2).

    The variance is over n - 1, for the texts are few.

    Parameters
    ----------
    first, second
        Log-likelihoods of the same n >= 2 texts under the same model, nats, shape (n,).
    bytes_of_texts
        UTF-8 bytes of what was scored of each, shape (n,); B is their mean.

    Returns
    -------
    kl, se : float
        Bits per byte.

    Raises
    ------
    InputError
        If the shapes differ or a value is not finite.
    """
    return kl_between(
        first,
        second,
        float(np.asarray(bytes_of_texts, dtype=np.float64).mean()),
        estimator="unbiased",
    )


def pair_floor(first: float | None, second: float | None) -> float:
    """What arithmetic adds to the KL between two models: half the sum of their noise KL.

    Parameters
    ----------
    first, second
        Noise KL of the two scores, bits/byte; None or NaN where it was not measured, which counts
        as 0 beside one that was.

    Returns
    -------
    float
        Bits per byte; NaN where neither was measured.
    """
    known = [noise for noise in (first, second) if noise is not None and math.isfinite(noise)]
    return sum(known) / 2.0 if known else math.nan


def within_noise(kl: float, floor: float) -> bool:
    """Whether a KL is below twice the pair's floor; never where the floor is 0 or not known."""
    return floor > 0.0 and kl < TIMES * floor


def noise_sentence(floor: float) -> str:
    """What is said of a KL that is within the noise."""
    return (
        f"It is within the noise of the scores: rounding alone makes a KL of about {floor:.2g} "
        "bits/byte between these two. Score both in float32 to measure what is below."
    )
