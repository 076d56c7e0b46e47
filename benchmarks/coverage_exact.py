"""How often the 95 % interval of an exact KL covers the truth.

An exact KL is a mean over texts of values that are 0 or more and often skewed. Each text has 250
tokens and bytes in proportion; its KL is drawn from laws of growing skewness, or is shared in part
by the texts of a document. What is measured is `numerics.exact.summary` as the tool calls it.

    python benchmarks/coverage_exact.py [--reduced]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.divergence.carried import skewness_of_mean
from mlflow_modelmap.numerics.divergence.interval import mean_interval
from mlflow_modelmap.numerics.exact.summary import known_ratio

LAWS = ("gamma 4", "exponential", "log-normal 1", "log-normal 1.3", "documents of 5")
BYTES = 1000.0


def drawn(law: str, texts: int, rng: np.random.Generator) -> np.ndarray:
    """Values of mean 1, shape (texts,)."""
    if law == "gamma 4":
        return rng.gamma(4.0, 0.25, texts)
    if law == "exponential":
        return rng.exponential(1.0, texts)
    if law == "documents of 5":
        return rng.gamma(4.0, 0.25, texts // 5).repeat(5) * rng.gamma(4.0, 0.25, texts)
    sigma = float(law.split()[1])
    return rng.lognormal(-(sigma**2) / 2, sigma, texts)


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """Coverage by law and number of texts."""
    rng = np.random.default_rng(31)
    found = []
    for law in LAWS:
        for texts in (30, 200) if reduced else (10, 30, 100, 200, 1_000, 10_000):
            repeats = 400 if reduced else 4_000 if texts <= 1_000 else 1_000
            documents = np.arange(texts) // 5 if law == "documents of 5" else None
            units = texts if documents is None else texts // 5
            if units < 10:
                continue
            below = above = 0
            size = np.full(texts, BYTES)
            for _ in range(repeats):
                value = drawn(law, texts, rng)
                mean, se = known_ratio(value, size, None, documents)
                skewness = skewness_of_mean(np.zeros(texts), value, size)
                low, high = mean_interval(mean, se, texts=units, skewness=skewness)
                below += bool(high < 1.0 / BYTES)
                above += bool(low > 1.0 / BYTES)
            found.append(
                {
                    "quantity": "exact KL, 95 % interval",
                    "law": law,
                    "texts": texts,
                    "nominal": 0.95,
                    "measured": 1 - (below + above) / repeats,
                    "note": f"above the truth {above / repeats:.3f}, below {below / repeats:.3f}",
                }
            )
    return found


if __name__ == "__main__":
    main(rows, __doc__)
