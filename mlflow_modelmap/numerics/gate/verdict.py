"""Numerics: whether a measured drift is within a limit - pass, fail, or undecided, by its interval.

How few texts are too few was found by drawing differences of log-likelihoods from light and heavy
tails (normal, Laplace, t with 5 degrees of freedom, log-normal, scale mixture). The 95 % interval
of the KL covers 0.71 to 0.91 at 30 texts and 0.56 to 0.81 at 10; three times as long, on its log
scale, it covers 0.94 or more from 10 texts on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scipy import special

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval

Verdict = Literal["pass", "fail", "undecided"]
PASS: Verdict = "pass"
FAIL: Verdict = "fail"
UNDECIDED: Verdict = "undecided"

KL = "kl"
INCREASE = "bits_per_byte_increase"

FEWEST_TEXTS = 10
"""From fewer texts no interval is believed."""
FEW_TEXTS = 30
"""From fewer texts the interval is taken `STRETCH` times as long."""
STRETCH = 3.0
HARDLY = 100
"""If deciding needs more than this many times the texts, no number of texts is named."""


@dataclass(frozen=True)
class LimitDecision:
    """One measured quantity against its limit.

    Attributes
    ----------
    quantity
        ``kl`` or ``bits_per_byte_increase``.
    value, se, low, high
        Bits per byte: what was measured, its standard error, and the interval that decides.
    limit
        The largest value that is allowed.
    verdict
        ``pass`` if the whole interval is at or below the limit, ``fail`` if it is wholly above,
        else ``undecided``.
    texts_needed
        If undecided: about how many texts would decide it, if what was measured stays; None if
        even `HARDLY` times as many would not.
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
        How many texts it was measured on.
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
    stretched = se * _stretch(texts)
    low, high = confidence_interval(kl, stretched, confidence)
    needed = FEW_TEXTS if limit == 0 else None
    if kl > 0 and limit > 0 and kl != limit:
        half = _quantile(confidence) * se / kl
        needed = _texts_needed(texts, half / abs(math.log(limit / kl)))
    return _decision(KL, kl, se, float(low), float(high), limit, texts, needed)


def decide_increase(
    difference: float, se: float, limit: float, texts: int, confidence: float = 0.95
) -> LimitDecision:
    """Whether the bits per byte rose by no more than a limit; the interval is the normal one.

    Parameters
    ----------
    difference, se
        Bits per byte of the candidate less those of the reference, and the paired standard error.
    limit
        Bits per byte; below 0 it asks for an improvement.
    texts, confidence
        As in `decide_kl`.
    """
    if not math.isfinite(limit):
        raise InputError(f"A largest increase of {limit} bits per byte is not possible.")
    half = _quantile(confidence) * se
    reach = half * _stretch(texts)
    needed = None
    if difference != limit:
        needed = _texts_needed(texts, half / abs(limit - difference))
    return _decision(
        INCREASE, difference, se, difference - reach, difference + reach, limit, texts, needed
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


def _stretch(texts: int) -> float:
    return STRETCH if texts < FEW_TEXTS else 1.0


def _quantile(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InputError(
            f"A confidence level of {confidence} is not possible; give one between 0 and 1."
        )
    return float(special.ndtri(0.5 + confidence / 2.0))


def _texts_needed(texts: int, shrink: float) -> int | None:
    """An interval shrinks with the root of the number of texts."""
    factor = shrink**2
    if not factor <= HARDLY:  # of NaN, too
        return None
    needed = max(FEW_TEXTS, math.ceil(texts * factor))
    if needed < 100:
        return needed
    scale = 10 ** (len(str(needed)) - 2)
    return math.ceil(needed / scale) * scale
