"""How often the intervals of `modelmap predict` cover the truth: r, RMSE, single predictions.

    python benchmarks/coverage_predict.py [--reduced]

Families of models lie around centres in eight directions, scores are a linear function of the
place (or `nothing`: have nothing to do with it), with noise of which a third is shared within a
family. The truth is what fits of as many families as a training part has do on a hundred new
families. `r, jackknife alone` is what the intervals would cover without their factor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.prediction.intervals import cv_plus
from mlflow_modelmap.numerics.prediction.out_of_fold import out_of_fold
from mlflow_modelmap.numerics.prediction.ridge import fit_ridge
from mlflow_modelmap.numerics.prediction.skill import WIDER, correlation, root_mean_square

SIGNALS = {"nothing": 0.0, "weak": 1.0, "strong": 3.0}
DIRECTIONS, NEW, SHARED = 8, 100, 0.3
NOMINAL = 0.95


def generated(
    families: int, sizes: np.ndarray, signal: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, scores and family of points, the last hundred each of a family of its own."""
    family = np.repeat(np.arange(families + NEW), np.r_[sizes, np.ones(NEW, int)])
    centres = rng.standard_normal((families + NEW, DIRECTIONS))
    q = centres[family] + 0.5 * rng.standard_normal((family.size, DIRECTIONS))
    own = rng.standard_normal(family.size)
    noise = np.sqrt(SHARED) * rng.standard_normal(families + NEW)[family]
    scores = signal * q.mean(axis=1) * np.sqrt(DIRECTIONS) + noise + np.sqrt(1 - SHARED) * own
    return q, scores, family


def once(
    families: int, size: int, unequal: bool, signal: float, seed: int, repeats: int
) -> list[float]:
    """r and RMSE with their intervals, r and RMSE on new families, share of those covered."""
    rng = np.random.default_rng([seed, families, size])
    sizes = np.full(families, size)
    if unequal:
        sizes = np.maximum(1, size * rng.lognormal(-0.5, 1.0, families)).astype(int)
    q, scores, family = generated(families, sizes, signal, rng)
    n = int(sizes.sum())
    products, y, groups, truth = q @ q.T, scores[:n], family[:n], scores[n:]
    own, new = products[:n, :n], products[n:, :n]
    found = out_of_fold(own, y, groups, rng.standard_normal(n), new=new, repeats=repeats, seed=seed)
    predicted, mean = found.predicted.mean(axis=0), found.mean.mean(axis=0)
    low, high = cv_plus(found.predicted, y, found.new)
    some = np.flatnonzero(groups < families - max(1, families // 10))
    fit = fit_ridge(own[np.ix_(some, some)], y[some], groups[some])
    told = fit.predict(new[:, some])
    return [
        *correlation(predicted, y, mean, groups),
        *root_mean_square(predicted, y, groups),
        float(np.corrcoef(told, truth)[0, 1]),
        float(((told - truth) ** 2).mean()),
        float(((low <= truth) & (truth <= high)).mean()),
    ]


def rows(reduced: bool = False) -> list[dict]:
    """Coverage by quantity, signal and number of families."""
    cases = [(12, 3, False)] if reduced else [(5, 6, False), (12, 5, False), (30, 2, False)]
    cases += [] if reduced else [(20, 8, True)]
    times, repeats = (40, 1) if reduced else (200, 2)
    made = []
    for families, size, unequal in cases:
        for law, signal in SIGNALS.items():
            if reduced and law == "strong":
                continue
            every = np.array(
                [once(families, size, unequal, signal, seed, repeats) for seed in range(times)]
            )
            r, r_low, r_high, rmse, rmse_low, rmse_high, fresh, square, covered = every.T
            true_r = float(np.tanh(np.arctanh(fresh).mean())) if signal else 0.0
            true_rmse = float(np.sqrt(square.mean()))
            z, half = np.arctanh(r), np.arctanh(r) - np.arctanh(r_low)
            narrow = np.tanh(z - half / WIDER), np.maximum(0.0, np.tanh(z + half / WIDER))
            about = f"{families} families of {size}{' on average' * unequal}"
            for quantity, low, high, true, mean in (
                ("r", r_low, r_high, true_r, np.tanh(z.mean())),
                ("r, jackknife alone", *narrow, true_r, np.tanh(z.mean())),
                ("RMSE", rmse_low, rmse_high, true_rmse, rmse.mean()),
            ):
                made.append(
                    {
                        "quantity": quantity,
                        "law": f"{law}, {about}",
                        "nominal": NOMINAL,
                        "measured": float(((low <= true) & (true <= high)).mean()),
                        "note": f"truth {true:.2f}, mean {mean:.2f}; above it "
                        f"{(low > true).mean():.3f}, below {(high < true).mean():.3f}",
                        "signal": law,
                        "above": float((low > true).mean()),
                    }
                )
            made.append(
                {
                    "quantity": "one new point",
                    "law": f"{law}, {about}",
                    "nominal": NOMINAL,
                    "measured": float(covered.mean()),
                    "note": "",
                    "signal": law,
                }
            )
    return made


if __name__ == "__main__":
    main(rows, __doc__)
