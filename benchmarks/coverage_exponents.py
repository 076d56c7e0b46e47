"""How often the interval of an exponent covers it, and how often a power law is wrongly refused.

Paths are fractional Brownian motion in so many directions of equal variance. Other paths are
Brownian with jitter of every checkpoint, or with steps of log-normal length.

    python benchmarks/coverage_exponents.py [--reduced]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.diffusion.combined import combined
from mlflow_modelmap.numerics.diffusion.exponents import Exponent, exponent_of_distances
from mlflow_modelmap.numerics.diffusion.fractional_motion import (
    fractional_covariance,
    standard_error,
)

DIRECTIONS = (1, 2, 5, 30, 300)


def fitted(path: np.ndarray) -> Exponent:
    """The exponent of a path at equal steps, shape (m + 1, d)."""
    moved = path[1:] - path[0]
    gram = moved @ moved.T
    own = np.diagonal(gram)
    return exponent_of_distances(np.arange(1, len(path)), own, own[:, None] + own - 2.0 * gram)


def motion(
    exponent: float, lags: int, directions: int, generator: np.random.Generator
) -> np.ndarray:
    """Fractional Brownian motion from 0, shape (lags + 1, directions)."""
    factor = np.linalg.cholesky(fractional_covariance(np.arange(1, lags + 1), exponent))
    path = factor @ generator.standard_normal((lags, directions))
    return np.vstack([np.zeros(directions), path])


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """One dict a measurement: quantity, law, lags, nominal, measured, note."""
    generator = np.random.default_rng(12)
    result = _coverage(reduced, generator) + _other_paths(reduced, generator)
    return result + _combinations(reduced, generator)


def _coverage(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 60 if reduced else 300
    result = []
    for lags in (4, 10) if reduced else (4, 5, 6, 10):
        for directions in (2, 30) if reduced else DIRECTIONS:
            for exponent in (1.0,) if reduced else (0.2, 0.5, 1.0, 1.5):
                found = [
                    fitted(motion(exponent, lags, directions, generator)) for _ in range(repeats)
                ]
                what = {
                    "law": f"fractional Brownian, c = {exponent:g}",
                    "lags": lags,
                    "note": f"{directions} directions, {repeats} paths",
                }
                covered = sum(f.low <= exponent <= f.high for f in found)
                result.append(
                    {
                        "quantity": "coverage of the exponent",
                        "nominal": 0.95,
                        "measured": covered / repeats,
                        **what,
                    }
                )
                if np.isfinite(found[0].lack_of_fit):
                    refused = sum(f.lack_of_fit < 0.05 for f in found)
                    result.append(
                        {
                            "quantity": "power laws refused that are ones",
                            "nominal": 0.05,
                            "measured": refused / repeats,
                            **what,
                        }
                    )
    return result


def _other_paths(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 30 if reduced else 200
    result = []
    for law in ("jitter 1", "jitter 10", "log-normal step lengths"):
        for directions in (30, 300) if reduced else (5, 30, 300, 3000):
            found = []
            for _ in range(repeats):
                steps = generator.standard_normal((10, directions))
                if law.startswith("log"):
                    steps *= np.exp(0.75 * generator.standard_normal((10, 1)))
                path = np.vstack([np.zeros(directions), np.cumsum(steps, axis=0)])
                if law.startswith("jitter"):
                    size = float(law.split()[1])
                    path += np.sqrt(size) * generator.standard_normal(path.shape)
                found.append(fitted(path))
            ends = np.quantile([f.exponent_with_offset for f in found], [0.1, 0.5, 0.9])
            plain = np.median([f.exponent for f in found])
            result.append(
                {
                    "quantity": "refused power laws",
                    "law": f"Brownian, {law}",
                    "lags": 10,
                    "nominal": float("nan"),
                    "measured": sum(f.lack_of_fit < 0.05 for f in found) / repeats,
                    "note": f"{directions} directions; c {plain:.2f}, with offset {ends[1]:.2f} "
                    f"(80 % of paths {ends[0]:.2f} to {ends[2]:.2f})",
                }
            )
    return result


def _combinations(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 30 if reduced else 150
    even = np.arange(1, 11)
    result = []
    for count in (3, 9):
        for directions in (5, 30):
            for exponent in (0.5, 1.0):
                means = []
                for _ in range(repeats):
                    found = [
                        fitted(motion(exponent, 10, directions, generator)) for _ in range(count)
                    ]
                    values = [f.exponent for f in found]
                    level = float(np.mean(values))
                    means.append(
                        combined(values, [standard_error(even, level, f.directions) for f in found])
                    )
                covered = sum(m.low <= exponent <= m.high for m in means)
                differ = sum(m.heterogeneity < 0.05 for m in means) / repeats
                result.append(
                    {
                        "quantity": "coverage of a combined exponent",
                        "law": f"fractional Brownian, c = {exponent:g}",
                        "lags": 10,
                        "nominal": 0.95,
                        "measured": covered / repeats,
                        "note": f"{count} paths of {directions} directions; said to differ "
                        f"(nominal 0.05) {differ:.2f}",
                    }
                )
    return result


if __name__ == "__main__":
    main(rows, __doc__)
