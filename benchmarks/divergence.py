"""All-pairs KL and standard errors against the plain pair loop: time, and digits kept.

    python benchmarks/divergence.py [--quick]

The pair loop is what one would write: two nested loops over points, a difference, its second and
fourth powers. Both are given the same coordinates in the same process; times are the best of three.
The true values are direct sums of differences in long double.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mlflow_modelmap.numerics.divergence.kl import kl_matrix, kl_with_standard_error


def pair_loop(q: np.ndarray, *, errors: bool) -> tuple[np.ndarray, np.ndarray]:
    points, texts = q.shape
    kl, se = np.zeros((points, points)), np.zeros((points, points))
    for i in range(points):
        for j in range(i + 1, points):
            square = (q[i] - q[j]) ** 2
            kl[i, j] = kl[j, i] = square.sum()
            if errors:
                fourth = np.sum(square**2)
                se[i, j] = se[j, i] = np.sqrt(max(fourth - kl[i, j] ** 2 / texts, 0.0))
    return kl, se


def seconds(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def spread_out(points: int, texts: int, seed: int = 0) -> np.ndarray:
    """Points spread over a KL of about 10 bits/byte."""
    q = np.random.default_rng(seed).standard_normal((points, texts)) * np.sqrt(5.0 / texts)
    q -= q.mean(axis=1, keepdims=True)
    return q - q.mean(axis=0)


def two_crowds(points: int, texts: int) -> np.ndarray:
    """The hard case: half of all pairs have a KL near 1e-8, and the others of 10."""
    noise = np.random.default_rng(1).standard_normal((points, texts)) * np.sqrt(5e-9 / texts)
    return spread_out(2, texts)[np.arange(points) % 2] + noise


def timings(points: int, texts: int) -> None:
    print(f"\n{points:,} points, {texts:,} texts: seconds (times faster than the pair loop)")
    print(f"{'':24}{'pair loop':>12}{'kl_matrix':>18}{'pair loop, SE':>16}{'kl and SE':>18}")
    for name, q in (
        ("spread out", spread_out(points, texts)),
        ("crowds", two_crowds(points, texts)),
    ):
        loop = seconds(lambda q=q: pair_loop(q, errors=False), 1)
        fast = seconds(lambda q=q: kl_matrix(q), 3)
        loop_se = seconds(lambda q=q: pair_loop(q, errors=True), 1)
        fast_se = seconds(lambda q=q: kl_with_standard_error(q), 3)
        print(
            f"{name:24}{loop:12.2f}{fast:10.3f} ({loop / fast:4.0f}x){loop_se:16.2f}"
            f"{fast_se:10.3f} ({loop_se / fast_se:4.0f}x)"
        )


def digits(texts: int) -> None:
    """Worst relative error over pairs of a given KL, among 200 points spread over a KL of 10."""
    print(f"\nworst relative error of near pairs among points 10 apart, {texts:,} texts")
    print(f"{'KL of the pair':24}{'KL':>12}{'SE':>12}{'Gram only, KL':>16}{'expanded, SE':>16}")
    far = spread_out(100, texts)
    away = spread_out(100, texts, seed=2)
    i, j = np.arange(100), np.arange(100, 200)
    for exponent in (0, -3, -6, -9, -12):
        q = np.concatenate((far, far + away * np.sqrt(10.0 ** (exponent - 1) * 2)))
        square = (q[i].astype(np.longdouble) - q[j]) ** 2
        true = square.sum(axis=1)
        true_se = np.sqrt(((square - true[:, None] / texts) ** 2).sum(axis=1))
        kl, se = kl_with_standard_error(q)
        gram = q @ q.T
        naive = gram[i, i] + gram[j, j] - 2 * gram[i, j]
        a, b = q[i], q[j]
        fourth = np.sum(a**4 + b**4 - 4 * a**3 * b - 4 * a * b**3 + 6 * a**2 * b**2, axis=1)
        naive_se = np.sqrt(np.maximum(fourth - naive**2 / texts, 0.0))
        errors = (
            np.max(np.abs(found / exact - 1))
            for found, exact in (
                (kl[i, j], true),
                (se[i, j], true_se),
                (naive, true),
                (naive_se, true_se),
            )
        )
        print(
            f"{float(np.median(true)):<24.1e}" + "{:12.0e}{:12.0e}{:16.0e}{:16.0e}".format(*errors)
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 points and 2,000 texts")
    quick = parser.parse_args().quick
    timings(*((200, 2000) if quick else (1018, 10000)))
    digits(2000 if quick else 10000)
