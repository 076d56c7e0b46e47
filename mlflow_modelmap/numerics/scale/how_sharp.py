"""Numerics: how sharply the size of a KL divergence is known, and how few texts carry it, in words.

A KL divergence is a variance, so that 0 is never within its error, and KL / SE tests nothing.
"""

from __future__ import annotations

import math

from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.words.texts_or_responses import TEXTS, one

_UNKNOWN = 1000.0
"""Beyond this factor the size is not known at all."""


def known_within(
    kl: float, se: float, level: float = 0.95, *, texts: float | None = None, unit: str = TEXTS
) -> str:
    """Within which factor the size of a KL is known, as words that a sentence can go on with.

    Parameters
    ----------
    kl, se
        Bits per byte; the error may be NaN, which is unknown.
    level
        Of the interval, whose upper end gives the factor.
    texts
        How many independent texts it was measured on, where that is known.
    unit
        What the texts are called.
    """
    if kl == 0 and se == 0:
        return f"known exactly on these {unit}"
    high = float(confidence_interval(kl, se, level, texts=texts)[1])
    if math.isnan(high):
        return "of unknown precision"
    factor = high / kl
    if not factor <= _UNKNOWN:
        return f"hardly known, because so few {unit} carry it"
    # Rounded up, so that the interval lies within it.
    places = 2 if factor < 1.1 else 1 if factor < 10 else 0
    rounded = math.ceil(factor * 10**places - 1e-9) / 10**places
    return f"known to within a factor of {rounded:.{places}f}"


def how_sharp(
    kl: float,
    se: float,
    level: float = 0.95,
    *,
    texts: int | None = None,
    half_in: int | None,
    unit: str = TEXTS,
) -> str:
    """How sharply a KL is known and how few texts carry it, without a full stop.

    Parameters
    ----------
    kl, se, level
        As in `known_within`.
    texts
        N, where it is known.
    half_in
        How many texts make up half of it; None where only the KL is known.
    unit
        What the texts are called: ``responses`` of a set that has prompts.

    Examples
    --------
    >>> how_sharp(0.1, 0.015, texts=500, half_in=3)
    'known to within a factor of 1.7; half of it lies in 3 of 500 texts'
    """
    said = known_within(kl, se, level, texts=texts, unit=unit)
    if not half_in or texts is None:
        return said
    lies = f"1 {one(unit)} of {texts:,}" if half_in == 1 else ""
    return f"{said}; half of it lies in {lies or f'{half_in:,} of {texts:,} {unit}'}"
