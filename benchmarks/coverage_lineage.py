"""How often a lineage says that another is nearer, where no candidate is nearer than the parent.

A child and its equally near candidates, of which the first is the claimed parent: each candidate's
log-likelihoods differ from a common vector by noise of one law, so that every KL to the child is
the same. Beside it the rule of version 0.1 (two standard errors of independent KL, no correction),
how often a candidate that is really nearer is found, and candidates of another law than the
parent's.

    python benchmarks/coverage_lineage.py [--reduced]      prints the table; two minutes on one core
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.lineage.nearest_gap import LEVEL, largest_by_chance

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
_CHUNK = 2_000_000


def log_normal(kurtosis: float) -> Draw:
    """Differences whose sign is random and whose size is log-normal, of a given kurtosis.

    E x^4 / (E x^2)^2 of exp(s z) is exp(4 s^2).
    """
    s = math.sqrt(math.log(kurtosis) / 4.0)

    def draw(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        size = np.exp(s * random.standard_normal(shape) - s * s)
        return size * random.choice((-1.0, 1.0), shape)

    return draw


LAWS: dict[str, Draw] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "t5": lambda random, shape: random.standard_t(5, shape) / math.sqrt(5 / 3),
    "log-normal kurtosis 8": log_normal(8.0),
    "log-normal kurtosis 58": log_normal(58.0),
}
"""Each of mean 0 and variance 1."""


def said_nearer(
    law: str,
    candidates: int,
    texts: int,
    trials: int,
    *,
    others: str | None = None,
    nearer: float = 1.0,
    own: float = 1.0,
    seed: int = 0,
) -> tuple[float, float]:
    """Share of trials in which another is said to be nearer: by the rule of now, and that of 0.1.

    Parameters
    ----------
    law
        Of the parent's difference from what all have in common, and of the child's.
    others
        Of the other candidates' differences; by default the same.
    nearer
        Variance of the last candidate's difference, where 1 is that of all others.
    own
        Variance of the child's own difference, which is in all KL.
    """
    random = np.random.default_rng([seed, candidates, texts])
    limit = largest_by_chance(candidates, texts)
    now = before = done = 0
    while done < trials:
        count = min(trials - done, max(1, _CHUNK // (candidates * texts)))
        child = math.sqrt(own) * LAWS[law](random, (count, 1, texts))
        from_child = np.concatenate(
            [
                LAWS[law](random, (count, 1, texts)),
                LAWS[others or law](random, (count, candidates - 1, texts)),
            ],
            axis=1,
        )
        from_child[:, -1] *= math.sqrt(nearer)
        from_child -= child
        from_child -= from_child.mean(axis=2, keepdims=True)
        square = from_child**2 / texts
        kl = square.sum(axis=2)
        variance = ((square - kl[:, :, None] / texts) ** 2).sum(axis=2)
        near = kl.argmin(axis=1)
        rows = np.arange(count)
        gap = kl[:, 0] - kl[rows, near]
        part = square[:, 0] - square[rows, near]
        se = np.sqrt(((part - gap[:, None] / texts) ** 2).sum(axis=1))
        now += int(((near != 0) & (gap > limit * se)).sum())
        apart = np.sqrt(variance[:, 0] + variance[rows, near])
        before += int(((near != 0) & (gap > 2.0 * apart)).sum())
        done += count
    return now / trials, before / trials


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """One row a measurement; see the module."""
    found = []

    def add(quantity: str, law: str, texts: int, candidates: int, trials: int, **how: Any) -> None:
        now, before = said_nearer(law, candidates, texts, trials, **how)
        found.append(
            {
                "quantity": quantity,
                "law": f"{law}, others {how['others']}" if "others" in how else law,
                "texts": texts,
                "candidates": candidates,
                "nominal": f"at most {LEVEL:g}" if "nearer" not in how else "",
                "measured": now,
                "note": f"{before:.3f} by the rule of 0.1; {trials} trials",
            }
        )

    sizes = (30, 200) if reduced else (30, 200, 1000, 10_000)
    for law in LAWS:
        for texts in sizes:
            for candidates in (2, 20, 200):
                budget = 2e6 if reduced else 6e7
                fewest = 60 if reduced or candidates > 20 else 1000
                trials = int(np.clip(budget / (candidates * texts), fewest, 4000))
                add("false alarm, all equally near", law, texts, candidates, trials)
    pairs = (("normal", "log-normal kurtosis 8"), ("log-normal kurtosis 8", "normal"))
    for law, others in pairs:
        for texts in sizes[:2]:
            trials = 100 if reduced else 1500
            add("false alarm, all equally near", law, texts, 20, trials, others=others)
    for texts in sizes[:2]:
        for part in (0.5, 0.25):
            add(
                f"one of 20 at {(1 + part) / 2:.3g} of the KL, found",
                "normal",
                texts,
                20,
                100 if reduced else 1500,
                nearer=part,
            )
    return found


if __name__ == "__main__":
    main(rows, __doc__)
