"""Numerics: nothing fails for what arithmetic alone may have made."""

from __future__ import annotations

from dataclasses import replace

from mlflow_modelmap.numerics.divergence.noise_floor import within_noise
from mlflow_modelmap.numerics.gate.verdict import FAIL, UNDECIDED, LimitDecision


def spared(decision: LimitDecision, floor: float) -> LimitDecision:
    """The decision on a KL that knows whether it is within the noise, where none can be a fail.

    Parameters
    ----------
    decision
        On a KL divergence.
    floor
        Of the pair, bits/byte, from `noise_floor.pair_floor`; NaN where it is not known.
    """
    if not within_noise(decision.value, floor):
        return decision
    verdict = UNDECIDED if decision.verdict == FAIL else decision.verdict
    return replace(decision, verdict=verdict, within_noise=True, texts_needed=None)
