"""Numerics: whether a measured drift is within a limit - pass, fail, or undecided, by its interval.

How often that is wrong was found by simulation; `benchmarks/coverage_gate.py` prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import (
    FEWEST_TEXTS,
    confidence_interval,
    mean_interval,
)
from mlflow_modelmap.numerics.exact.summary import ExactKL

Verdict = Literal["pass", "fail", "undecided"]
PASS: Verdict = "pass"
FAIL: Verdict = "fail"
UNDECIDED: Verdict = "undecided"

KL = "kl"
INCREASE = "bits_per_byte_increase"
EXACT = "exact_kl"

FEW_TEXTS = 30
"""From fewer texts an interval is long, and does not quite keep its promise."""
POWER = 0.8
"""The chance of a decision on the number of texts that is named."""
HARDLY = 100
"""If deciding needs more than this many times the texts, no number of texts is named."""
_POWER_QUANTILE = float(special.ndtri(POWER))


@dataclass(frozen=True)
class LimitDecision:
    """One measured quantity against its limit.

    Attributes
    ----------
    quantity
        ``kl`` or ``bits_per_byte_increase``.
    value, se, low, high
        Bits per byte: what was measured, its standard error, and the interval that decides; the
        ends are NaN where there are too few texts for an interval.
    limit
        The largest value that is allowed.
    verdict
        ``pass`` if the whole interval is at or below the limit, ``fail`` if it is wholly above,
        else ``undecided``.
    texts_needed
        If undecided: on how many such texts four of five gates would decide, if what was measured
        is the truth; None if that is more than `HARDLY` times as many.
    within_noise
        Whether what was measured is no more than arithmetic may make.
    """

    quantity: str
    value: float
    se: float
    low: float
    high: float
    limit: float
    verdict: Verdict
    texts_needed: int | None = None
    within_noise: bool = False


def decide_kl(
    kl: float, se: float, limit: float, texts: int, confidence: float = 0.95
) -> LimitDecision:
    """Whether a KL divergence is within a limit.

    Parameters
    ----------
    kl, se
        Bits per byte.
    limit
        Bits per byte, 0 or more.
    texts
        How many texts it was measured on, or units that are independent.
    confidence
        Coverage of the interval, between 0 and 1.

    Raises
    ------
    InputError
        If the limit is negative or not finite, or the confidence is not between 0 and 1.
    """
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(
            f"A largest KL divergence of {limit} is not possible; give 0 or more bits/byte."
        )
    low, high = confidence_interval(kl, se, confidence, texts=texts)
    needed: int | None = FEW_TEXTS
    if kl > 0 and limit > 0:
        away, g = math.log(limit) - math.log(kl), se / kl

        def decides(share: float) -> bool:
            """Whether the interval of texts / share texts stays off the limit often enough."""
            spread = g * math.sqrt(share)
            low, high = confidence_interval(1.0, spread, confidence)
            reach = float(np.log(high) if away > 0 else -np.log(low))
            return reach + _POWER_QUANTILE * spread <= abs(away)

        needed = _texts_needed(texts, decides)
    return _decision(KL, kl, se, float(low), float(high), limit, texts, needed)


def decide_increase(
    difference: float,
    se: float,
    limit: float,
    texts: int,
    confidence: float = 0.95,
    *,
    effective: float | None = None,
    skewness: float = 0.0,
) -> LimitDecision:
    """Whether the bits per byte rose by no more than a limit, by the interval of a mean.

    Parameters
    ----------
    difference, se
        Bits per byte of the candidate less those of the reference, and the paired standard error.
    limit
        Bits per byte; below 0 it asks for an improvement.
    texts, confidence
        As in `decide_kl`.
    effective
        How many texts that count alike they are worth; by default, and where it is NaN, as many
        as there are.
    skewness
        Of the mean, see `mean_interval`.
    """
    if not math.isfinite(limit):
        raise InputError(f"A largest increase of {limit} bits per byte is not possible.")
    worth = texts if effective is None or math.isnan(effective) else effective
    low, high = mean_interval(difference, se, confidence, texts=worth, skewness=skewness)
    away = limit - difference

    def decides(share: float) -> bool:
        root = math.sqrt(share)
        low, high = mean_interval(
            0.0, se * root, confidence, texts=worth / share, skewness=skewness * root
        )
        return float(high if away > 0 else -low) + _POWER_QUANTILE * se * root <= abs(away)

    needed = _texts_needed(texts, decides)
    return _decision(INCREASE, difference, se, float(low), float(high), limit, texts, needed)


def decide_exact(exact: ExactKL, limit: float, confidence: float = 0.95) -> LimitDecision:
    """Whether an exact KL(A || B) is within a limit, by the interval of a mean over texts.

    Parameters
    ----------
    exact
        A the reference, B the candidate.
    limit
        Bits per byte, 0 or more.
    confidence
        As in `decide_kl`.

    Raises
    ------
    InputError
        If the limit is negative or not finite.
    """
    check_exact_limit(limit)
    mean = decide_increase(
        exact.forward,
        exact.forward_se,
        limit,
        exact.texts,
        confidence,
        effective=exact.effective_texts,
        skewness=exact.skewness,
    )
    return replace(mean, quantity=EXACT, low=float(np.maximum(mean.low, 0.0)))


def check_exact_limit(limit: float) -> None:
    """An InputError for what is no limit of an exact KL."""
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(
            f"A largest exact KL divergence of {limit} is not possible; give 0 or more bits/byte."
        )


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Any fail is a fail, all pass is a pass, anything else is undecided.

    Raises
    ------
    InputError
        If there are none.
    """
    every = set(verdicts)
    if not every:
        raise InputError(
            "A gate needs a limit; give max_kl (--max-kl) or max_bits_per_byte_increase."
        )
    return FAIL if FAIL in every else PASS if every == {PASS} else UNDECIDED


def _decision(
    quantity: str,
    value: float,
    se: float,
    low: float,
    high: float,
    limit: float,
    texts: int,
    needed: int | None,
) -> LimitDecision:
    # A standard error of 0 from several texts means that they all agree, however few they are.
    certain = texts >= FEWEST_TEXTS or (value == 0 and se == 0)
    verdict = UNDECIDED
    if certain and high <= limit:
        verdict = PASS
    elif certain and low > limit:
        verdict = FAIL
    return LimitDecision(
        quantity, value, se, low, high, limit, verdict, needed if verdict == UNDECIDED else None
    )


def _texts_needed(texts: int, decides: Callable[[float], bool]) -> int | None:
    """The number of texts from which on `decides` holds of texts / number, with two digits."""
    if texts < FEWEST_TEXTS:
        return FEW_TEXTS
    if not decides(1.0 / HARDLY):
        return None
    least, most = 1.0 / HARDLY, texts / FEW_TEXTS
    if most <= least or decides(most):
        return FEW_TEXTS
    for _ in range(60):
        share = math.sqrt(least * most)
        if decides(share):
            least = share
        else:
            most = share
    needed = max(FEW_TEXTS, math.ceil(texts / least))
    if needed < 100:
        return needed
    scale = 10 ** (len(str(needed)) - 2)
    return math.ceil(needed / scale) * scale
