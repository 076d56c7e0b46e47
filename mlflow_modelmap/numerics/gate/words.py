"""Numerics: a gate's decision in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlflow_modelmap.numerics.divergence.interval import FEWEST_TEXTS
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.gate.verdict import (
    EXACT,
    FAIL,
    FEW_TEXTS,
    HARDLY,
    INCREASE,
    KL,
    PASS,
    UNDECIDED,
    LimitDecision,
    Verdict,
)
from mlflow_modelmap.words.counted import counted
from mlflow_modelmap.words.value_and_error import with_error

_NAMES = {
    KL: "KL divergence",
    INCREASE: "increase of bits per byte",
    EXACT: "exact KL divergence",
}
_WHERE = {
    PASS: "wholly within the limit",
    FAIL: "wholly above the limit",
    UNDECIDED: "on both sides of the limit",
}


def limit_sentence(limit: LimitDecision, confidence: float) -> str:
    """The interval of one quantity beside its limit."""
    if math.isnan(limit.low) or math.isnan(limit.high):
        said = "The KL divergence has no interval: it"
        if limit.quantity == INCREASE:
            said = f"The change of the bits per byte, {with_error(limit.value, limit.se)},"
        if limit.quantity == EXACT:
            said = f"The exact KL divergence, {with_error(limit.value, limit.se)},"
        return f"{said} comes from too few texts to be held against the limit {limit.limit:g}."
    what = "The KL divergence's"
    if limit.quantity == INCREASE:
        what = f"Bits per byte change by {with_error(limit.value, limit.se)}; the"
    if limit.quantity == EXACT:
        what = f"The exact KL divergence is {with_error(limit.value, limit.se)}; its"
    return (
        f"{what} {100 * confidence:.4g} % interval, {limit.low:.3g} to {limit.high:.3g}, is "
        f"{_WHERE[limit.verdict]} {limit.limit:g}."
    )


def exact_sentence(exact: ExactKL) -> str:
    """An exact comparison, A the reference and B the candidate."""
    return (
        f"Exact, over {exact.tokens:,} tokens of {exact.texts:,} texts: KL(reference || candidate) "
        f"{with_error(exact.forward, exact.forward_se)} bits/byte, the other way "
        f"{with_error(exact.reverse, exact.reverse_se)}; both find the same token likeliest at "
        f"{100 * exact.top1:.2f} % of tokens."
    )


def unseen(difference: float, se: float, low: float, high: float) -> str | None:
    """What a limit on the KL divergence alone leaves unseen, or None where that is noise.

    Parameters
    ----------
    difference, se, low, high
        Of the bits per byte, candidate less reference, with its interval.
    """
    if not (low > 0 or high < 0):
        return None
    worse = "more" if difference > 0 else "fewer"
    return (
        "A shift that is equal on all texts is invisible to the KL divergence: the candidate needs "
        f"{worse} bits per byte ({with_error(difference, se)}), for which this gate has no limit; "
        "--max-bits-per-byte-increase sets one."
    )


def few_texts(texts: int, name: str, unit: str = "text") -> str | None:
    """What a small text set means for the decision, or None where it is large enough.

    Parameters
    ----------
    texts, unit
        How many it holds, of texts or of the documents that they are pieces of.
    """
    if texts < FEWEST_TEXTS:
        return (
            f"{name} holds {counted(texts, unit)}, too few for any decision: use some hundreds, "
            f"and {FEW_TEXTS} at the very least."
        )
    if texts < FEW_TEXTS:
        return (
            f"{name} holds only {texts} {unit}s: the interval is long, and where few {unit}s make "
            "up most of the difference still too short; use some hundreds, and "
            f"{FEW_TEXTS} at least."
        )
    return None


def verdict_sentence(verdict: Verdict, limits: Sequence[LimitDecision]) -> str:
    """The verdict, and what to do about it."""
    if verdict == PASS:
        return "Verdict: pass."
    concerned = [limit for limit in limits if limit.verdict == verdict]
    names = " and the ".join(_NAMES[limit.quantity] for limit in concerned)
    if verdict == FAIL:
        return (
            f"Verdict: fail, because of the {names}; change the candidate, or raise the limit if "
            "this much is wanted."
        )
    if any(limit.within_noise for limit in concerned):
        return (
            "Verdict: undecided, because the KL divergence is within the noise of the scores; "
            "score both in float32, or set a limit above the noise."
        )
    needed = [limit.texts_needed for limit in concerned]
    if any(number is None for number in needed):
        return (
            f"Verdict: undecided, because the {names} is so close to the limit that even {HARDLY} "
            "times as many texts would hardly decide it; move the limit."
        )
    most = max(number for number in needed if number is not None)
    return (
        f"Verdict: undecided, because of the {names}; about {most:,} such texts would decide it in "
        "four of five cases, if what was measured is the truth."
    )
