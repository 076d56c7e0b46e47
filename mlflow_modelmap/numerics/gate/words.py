"""Numerics: a gate's decision in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow_modelmap.numerics.gate.verdict import (
    FAIL,
    FEW_TEXTS,
    FEWEST_TEXTS,
    HARDLY,
    INCREASE,
    KL,
    PASS,
    STRETCH,
    UNDECIDED,
    LimitDecision,
    Verdict,
)
from mlflow_modelmap.words.value_and_error import with_error

_ENOUGH_TEXTS = 200
_NAMES = {KL: "KL divergence", INCREASE: "increase of bits per byte"}
_WHERE = {
    PASS: "wholly within the limit",
    FAIL: "wholly above the limit",
    UNDECIDED: "on both sides of the limit",
}


def limit_sentence(limit: LimitDecision, confidence: float) -> str:
    """The interval of one quantity beside its limit."""
    where = f"{_WHERE[limit.verdict]} {limit.limit:g}"
    if limit.verdict == UNDECIDED and not limit.low <= limit.limit < limit.high:
        side = "within" if limit.high <= limit.limit else "above"
        where = f"{side} the limit {limit.limit:g}, but comes from too few texts"
    what = "The KL divergence's"
    if limit.quantity == INCREASE:
        what = f"Bits per byte change by {with_error(limit.value, limit.se)}; the"
    return (
        f"{what} {100 * confidence:.4g} % interval, {limit.low:.3g} to {limit.high:.3g}, is "
        f"{where}."
    )


def few_texts(texts: int, name: str) -> str | None:
    """What a small text set means for the decision, or None where it is large enough."""
    if texts < FEWEST_TEXTS:
        return (
            f"{name} holds {texts} texts, too few for any decision: use some hundreds, and "
            f"{FEW_TEXTS} at the very least."
        )
    if texts < FEW_TEXTS:
        return (
            f"{name} holds only {texts} texts, so the interval is taken {STRETCH:g} times as long "
            f"as usual; use some hundreds, and {FEW_TEXTS} at the very least."
        )
    if texts < _ENOUGH_TEXTS:
        return (
            f"With {texts} texts the interval is somewhat too short where few texts make up most "
            f"of the difference; from {_ENOUGH_TEXTS} on it can be relied on."
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
        f"Verdict: undecided, because of the {names}; about {most:,} such texts would decide it, "
        "if what was measured stays."
    )
