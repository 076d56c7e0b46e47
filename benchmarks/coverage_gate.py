"""How often a gate passes or fails wrongly, and how often it decides on the texts that it names.

    python benchmarks/coverage_gate.py [--reduced]

Wrong verdicts are counted where they are likeliest: `false pass` is a pass where the truth is a
hair above the limit, `false fail` a fail where it is at the limit. `both limits` have the KL and
the bits per byte exactly at their limits. `decided` draws as many texts as a gate named that was
undecided at the true values.
"""

from __future__ import annotations

import math

import numpy as np
from coverage_kl import LAWS, TEXTS, draws, measured, repeats
from coverage_table import main

from mlflow_modelmap.numerics.divergence.interval import confidence_interval, mean_interval
from mlflow_modelmap.numerics.gate.verdict import POWER, decide_increase, decide_kl

BYTES = 100.0
_SCALE = 1.0 / (2.0 * BYTES * math.log(2.0))
"""From a variance in nats squared to bits per byte."""
NOMINAL = 0.025


def _mean(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard error and skewness of the mean of each row."""
    mean = difference.mean(axis=1)
    part = difference - mean[:, None]
    square = part * part
    total = square.sum(axis=1)
    return mean, np.sqrt(total) / part.shape[1], (square * part).sum(axis=1) / total**1.5


def _row(quantity: str, law: str, texts: int, nominal: float, value: float, note: str) -> dict:
    return {
        "quantity": quantity,
        "law": law,
        "texts": texts,
        "nominal": nominal,
        "measured": value,
        "note": note,
    }


def wrong(law: str, texts: int, reduced: bool, rng: np.random.Generator) -> list[dict]:
    """False verdicts of limits that lie at the truth."""
    found: dict[str, list[np.ndarray]] = {}
    for difference, truth in draws(law, texts, repeats(texts, reduced), rng):
        low, high = confidence_interval(*measured(difference), texts=texts)
        pass_kl, fail_kl = high <= truth, low > truth
        # The candidate is worse where the difference is positive: its tail is on the bad side.
        mean, se, skewness = _mean(difference)
        low, high = mean_interval(mean, se, texts=texts, skewness=skewness)
        pass_bits, fail_bits = high <= 0.0, low > 0.0
        for name, happened in (
            ("max KL, false pass", pass_kl),
            ("max KL, false fail", fail_kl),
            ("max increase, false pass", pass_bits),
            ("max increase, false fail", fail_bits),
            ("both limits, false pass", pass_kl & pass_bits),
            ("both limits, false fail", fail_kl | fail_bits),
        ):
            found.setdefault(name, []).append(happened)
    made = []
    for name, happened in found.items():
        nominal, note = NOMINAL, "the truth at the limit"
        if name.startswith("both"):
            nominal = NOMINAL if name.endswith("pass") else 2 * NOMINAL
            note = "both truths at their limits"
        made.append(_row(name, law, texts, nominal, float(np.concatenate(happened).mean()), note))
    return made


def _decides(law: str, texts: int, reduced: bool, rng: np.random.Generator, ratio: float) -> dict:
    """The share of gates that decide on the texts that one named, the limit at ratio x the KL."""
    variance = LAWS[law][1]
    pilot = LAWS[law][0](rng, (1, 2_000_000))
    kurtosis = float((pilot**4).mean() / (pilot**2).mean() ** 2)
    kl = variance * _SCALE
    limit = ratio * kl
    needed = decide_kl(kl, kl * math.sqrt((kurtosis - 1) / texts), limit, texts).texts_needed
    assert needed is not None
    rest = [
        np.where(limit >= kl, high <= limit, low > limit)
        for difference, _ in draws(law, needed, repeats(needed, reduced) // 2, rng)
        for low, high in [
            confidence_interval(*(of * _SCALE for of in measured(difference)), texts=needed)
        ]
    ]
    note = f"KL, limit at {ratio:g} x the KL, {needed:,} texts named from {texts}"
    return _row("decided", law, needed, POWER, float(np.concatenate(rest).mean()), note)


def _decides_increase(law: str, texts: int, reduced: bool, rng: np.random.Generator) -> dict:
    """The same of a limit on the increase, 1.5 standard errors of `texts` off."""
    se = math.sqrt(LAWS[law][1] / texts)
    pilot = LAWS[law][0](rng, (1, 2_000_000))
    skewness = float((pilot**3).mean() / (pilot**2).mean() ** 1.5) / math.sqrt(texts)
    needed = decide_increase(0.0, se, 1.5 * se, texts, skewness=skewness).texts_needed
    assert needed is not None
    decided = []
    for difference, _ in draws(law, needed, repeats(needed, reduced) // 2, rng):
        mean, error, skewed = _mean(difference)
        high = mean_interval(mean, error, texts=needed, skewness=skewed)[1]
        decided.append(high <= 1.5 * se)
    note = f"increase, limit 1.5 standard errors off, {needed:,} texts named from {texts}"
    return _row("decided", law, needed, POWER, float(np.concatenate(decided).mean()), note)


def rows(reduced: bool = False) -> list[dict]:
    """Shares of wrong verdicts and of decisions, by quantity, law and number of texts."""
    rng = np.random.default_rng(21)
    made = []
    for texts in (30, 200) if reduced else TEXTS:
        for law in LAWS:
            made += wrong(law, texts, reduced, rng)
    for law in ("normal", "Laplace", "log-normal kurtosis 8"):
        for ratio in (1.5,) if reduced else (1.2, 1.5, 0.7):
            made.append(_decides(law, 30, reduced, rng, ratio))
        made.append(_decides_increase(law, 100, reduced, rng))
    return made


if __name__ == "__main__":
    main(rows, __doc__)
