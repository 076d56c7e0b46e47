"""How often the interval of a KL divergence covers the truth, and on which side it misses.

    python benchmarks/coverage_kl.py [--reduced]

Differences of log-likelihoods are drawn from light and heavy tails. `normal on the log scale` is
what version 0.1.0 did, beside it for comparison. The last rows ask the same at other levels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import optimize, special

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.divergence.interval import confidence_interval

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
TEXTS = (10, 30, 100, 200, 1_000, 10_000)


def log_normal(kurtosis: float) -> tuple[Draw, float]:
    """Centred log-normal differences of this kurtosis, and their variance."""
    w = optimize.brentq(lambda w: w**4 + 2 * w**3 + 3 * w**2 - 3 - kurtosis, 1.0001, 20.0)
    sigma = float(np.sqrt(np.log(w)))

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.exp(sigma * rng.standard_normal(shape)) - np.exp(sigma**2 / 2)

    return draw, float((w - 1) * w)


def mixture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One text in twenty differs four times as much."""
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.05, 4.0, 1.0)


LAWS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 1.0),
    "Laplace": (lambda rng, shape: rng.laplace(size=shape), 2.0),
    "t5": (lambda rng, shape: rng.standard_t(5, shape), 5 / 3),
    "log-normal kurtosis 8": log_normal(8.0),
    "mixture kurtosis 14": (mixture, 0.95 + 0.05 * 16),
    "log-normal kurtosis 58": log_normal(58.0),
}
"""Differences with mean 0, and their variance."""


def repeats(texts: int, reduced: bool) -> int:
    most = 20_000 if not reduced else 2_000
    return max(400, min(most, (40_000_000 if not reduced else 1_500_000) // texts))


def draws(
    law: str, texts: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, float]]:
    """Samples of differences, shape (some, texts), and their true variance, in parts of memory."""
    draw, variance = LAWS[law]
    while count > 0:
        part = min(count, max(1, 2_000_000 // texts))
        yield draw(rng, (part, texts)), variance
        count -= part


def measured(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance and its standard error of each row, as a KL without its factor."""
    square = (difference - difference.mean(axis=1, keepdims=True)) ** 2
    return square.mean(axis=1), square.std(axis=1) / np.sqrt(difference.shape[1])


def missed(
    law: str, texts: int, level: float, reduced: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Shares of intervals that lie wholly above the truth, and wholly below it."""
    z = float(special.ndtri(0.5 + level / 2))
    found: dict[str, list[np.ndarray]] = {"KL": [], "KL, normal on the log scale": []}
    for difference, truth in draws(law, texts, repeats(texts, reduced), rng):
        kl, se = measured(difference)
        plain = np.exp(z * se / kl)
        for name, (low, high) in zip(
            found,
            (confidence_interval(kl, se, level, texts=texts), (kl / plain, kl * plain)),
            strict=True,
        ):
            found[name].append(np.stack([low > truth, high < truth]))
    return {name: np.concatenate(of, axis=1).mean(axis=1) for name, of in found.items()}


def rows(reduced: bool = False) -> list[dict]:
    """Coverage by quantity, law and number of texts."""
    rng = np.random.default_rng(20)
    cases = [(texts, 0.95) for texts in ((10, 30, 200) if reduced else TEXTS)]
    if not reduced:
        cases += [(100, 0.8), (100, 0.99), (1_000, 0.8), (1_000, 0.99)]
    made = []
    for texts, level in cases:
        for law in LAWS:
            for quantity, (above, below) in missed(law, texts, level, reduced, rng).items():
                made.append(
                    {
                        "quantity": quantity,
                        "law": law,
                        "texts": texts,
                        "nominal": level,
                        "measured": float(1 - above - below),
                        "note": f"above the truth {above:.3f}, below it {below:.3f}",
                        "above": float(above),
                        "below": float(below),
                    }
                )
    return made


if __name__ == "__main__":
    main(rows, __doc__)
