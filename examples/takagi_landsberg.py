"""Folding: a map of known Hoelder exponent turns Brownian motion into a subdiffusive path.

The generalised Takagi-Landsberg map (paper, Appendix B) is

    f(w) = sum_k a_k lambda^(-k alpha) S(lambda^k b_k . w),

with S(x) the distance of x to the nearest integer.

Weights that diffuse like Brownian motion (c_w = 1) give log-likelihoods f(w) that diffuse with
c_q = alpha: far slower. Here alpha is chosen, and the package's own estimators recover it.

    python examples/takagi_landsberg.py
    python examples/takagi_landsberg.py --alpha 0.5 --checkpoints 41
"""

from __future__ import annotations

import argparse

import numpy as np

from mlflow_modelmap.numerics.diffusion.exponents import exponent_of_coordinates
from mlflow_modelmap.numerics.diffusion.hoelder_and_dimension import (
    Interval,
    effective_dimension,
    ratio,
)


def folding(
    w: np.ndarray, alpha: float, texts: int, base: float = 2.0, seed: int = 0
) -> np.ndarray:
    """f(w) for each row of `w`, shape (n, P); gives shape (n, texts).

    The sum runs over k on both sides of 0, as far as its terms matter, so that the power law
    holds at every scale of `w` and not only below that of the first fold.
    """
    generator = np.random.default_rng(seed)
    finest = int(np.ceil(np.log(100.0) / (alpha * np.log(base))))
    coarsest = int(np.ceil(np.log(100.0) / ((1.0 - alpha) * np.log(base))))
    result = np.zeros((len(w), texts))
    for k in range(-coarsest, finest + 1):
        direction = generator.standard_normal((w.shape[1], texts))
        direction /= np.linalg.norm(direction, axis=0)
        x = base**k * (w @ direction) + generator.random(texts)
        size = generator.standard_normal(texts) * base ** (-k * alpha)
        result += size * np.abs(x - np.round(x))
    return result


def brownian(checkpoints: int, parameters: int, seed: int = 0) -> np.ndarray:
    """A Brownian path, shape (checkpoints, parameters); its last point is about 1 away."""
    steps = np.random.default_rng(seed).standard_normal((checkpoints - 1, parameters))
    steps /= np.sqrt((checkpoints - 1) * parameters)
    return np.vstack([np.zeros(parameters), np.cumsum(steps, axis=0)]) * np.sqrt(parameters)


def recover(
    alpha: float, checkpoints: int = 11, parameters: int = 1000, texts: int = 1000, seed: int = 0
) -> tuple[Interval, Interval, Interval]:
    """c_w, c_q and alpha = c_q / c_w, each with its 95 % interval."""
    lags = 1000 * np.arange(1, checkpoints)
    w = brownian(checkpoints, parameters, seed)
    found = [
        exponent_of_coordinates(lags, path) for path in (w, folding(w, alpha, texts, seed=seed + 1))
    ]
    c_w, c_q = (Interval(e.exponent, e.low, e.high) for e in found)
    return c_w, c_q, ratio(c_q, c_w)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--alpha", type=float, help="one exponent between 0 and 1")
    parser.add_argument("--checkpoints", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chosen = [0.2, 0.4, 0.6, 0.8] if arguments.alpha is None else [arguments.alpha]
    if not all(0.05 <= alpha <= 0.95 for alpha in chosen) or arguments.checkpoints < 5:
        parser.error("alpha lies between 0.05 and 0.95, and there are 5 checkpoints or more")
    headings = ("c_w", "c_q", "c_q / c_w", "D_w", "D_q")
    print("alpha   " + "  ".join(f"{heading:<18}" for heading in headings))
    for alpha in chosen:
        c_w, c_q, found = recover(alpha, arguments.checkpoints, seed=arguments.seed)
        dimensions = (effective_dimension(c) for c in (c_w, c_q))
        cells = [
            f"{v.value:.2f} [{v.low:.2f}, {v.high:.2f}]" for v in (c_w, c_q, found, *dimensions)
        ]
        print(f"{alpha:<8.2f}" + "  ".join(f"{cell:<18}" for cell in cells))


if __name__ == "__main__":
    main()
