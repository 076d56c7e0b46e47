"""Generated trajectories with known answers, for the tests of the numerics and of the driver."""

from __future__ import annotations

import numpy as np


def fbm_paths(
    exponent: float, times: np.ndarray, variances: np.ndarray, seed: int | np.random.Generator
) -> np.ndarray:
    """Fractional Brownian motion in independent directions from its covariance, and 0 at first.

    Written out here from the definition, E[X(s) X(t)] = (s^2H + t^2H - |s - t|^2H) / 2.
    """
    generator = np.random.default_rng(seed)
    hurst = exponent / 2
    m = len(times)
    covariance = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            s, t = float(times[i]), float(times[j])
            covariance[i, j] = (s ** (2 * hurst) + t ** (2 * hurst) - abs(s - t) ** (2 * hurst)) / 2
    factor = np.linalg.cholesky(covariance)
    path = factor @ generator.standard_normal((m, len(variances))) * np.sqrt(variances)
    return np.vstack([np.zeros(len(variances)), path])


def training(
    exponent: float = 0.2,
    checkpoints: int = 60,
    directions: int = 150,
    seed: int = 0,
    missing: float = 0.0,
    fast_start: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (every 1,000 from 2,000) and a path that moves fast at first, as training does."""
    generator = np.random.default_rng(seed)
    steps = 2000 + 1000 * np.arange(checkpoints)
    x = fbm_paths(exponent, np.arange(1, checkpoints), np.ones(directions), generator)
    if fast_start:
        x *= (steps / 10_000.0)[:, None] ** -0.2
        x += np.log(steps)[:, None] * generator.standard_normal(directions)
    keep = generator.random(checkpoints) >= missing
    keep[[0, -1]] = True
    return steps[keep], x[keep]


def squared_table(x: np.ndarray) -> np.ndarray:
    """Squared distances between all rows, by differences."""
    return np.array([[float(np.sum((a - b) ** 2)) for b in x] for a in x])
