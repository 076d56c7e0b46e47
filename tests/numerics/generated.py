"""Generated points, trees and trajectories with known answers, for the tests of the numerics."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import shortest_path


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


def plain(q, dtype=np.float64, shares=None):
    """The formulas of Section 2 and Appendix C, pair by pair."""
    q = q.astype(dtype)
    points, texts = q.shape
    a = np.full(texts, 1 / dtype(texts)) if shares is None else shares.astype(dtype)
    kl, se = np.zeros((points, points), dtype), np.zeros((points, points), dtype)
    for i in range(points):
        square = (q[i] - q) ** 2
        kl[i] = square.sum(axis=1)
        # The same as sqrt(sum d^4 - KL^2 / N), without its cancellation.
        se[i] = np.sqrt(((square - kl[i, :, None] * a) ** 2).sum(axis=1))
    return kl, se


def spread_out(points, texts, seed=0, *, tail=None):
    """Points spread over a KL of about 10."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if tail is None else lambda shape: rng.standard_t(tail, shape)
    q = draw((points, texts)) * np.sqrt(5.0 / texts)
    q -= q.mean(axis=1, keepdims=True)
    return q - q.mean(axis=0)


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def worst(found, true):
    return float(np.max(np.abs(off_diagonal(found) / off_diagonal(true) - 1)))


def uneven(texts, seed=0):
    """Shares as resampling gives them: many middling ones, few small ones."""
    weights = np.random.default_rng(seed).gamma(0.5, size=texts) + 1e-3
    return weights / weights.sum()


def squared(x):
    own = np.sum(x**2, axis=1)
    table = np.maximum(own[:, None] + own - 2 * x @ x.T, 0.0)
    np.fill_diagonal(table, 0.0)
    return table


def random_tree(count, seed):
    """Additive distances of a random tree whose nodes are all observed; parent of each node."""
    rng = np.random.default_rng(seed)
    parent = [int(rng.integers(0, k)) for k in range(1, count)]
    weights = np.zeros((count, count))
    for child, above in enumerate(parent, start=1):
        weights[child, above] = rng.uniform(0.1, 1.0)
    return shortest_path(weights, directed=False), parent
