"""How often an anomaly is found where there is none, and how often one that is there.

Trajectories without a fault are random walks of every law in `LAWS`: their steps are independent
from text to text ("texts"), or share one random length over all texts ("lengths"). Faults are
checkpoints displaced in a random direction. Siblings are trainings that differ in their seed alone.

    python benchmarks/coverage_anomalies.py [--reduced]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.trajectory.anomalies import checkpoint_anomalies
from mlflow_modelmap.numerics.trajectory.oscillation import autocorrelation
from mlflow_modelmap.numerics.trajectory.sibling_anomalies import sibling_anomalies

LAWS = ("normal", "t5", "log-normal kurtosis 8", "log-normal kurtosis 58")
TEXTS = 200
_REACH = 7


def drawn(law: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Symmetric values of a law with the kurtosis that its name says."""
    if law == "normal":
        return generator.standard_normal(shape)
    if law == "t5":
        return generator.standard_t(5, shape)
    spread = np.sqrt(np.log(float(law.rsplit(" ", 1)[1])) / 4.0)  # E x^4 / (E x^2)^2 = e^4s^2
    return generator.choice([-1.0, 1.0], shape) * np.exp(spread * generator.standard_normal(shape))


def walk(
    law: str, kind: str, checkpoints: int, texts: int, generator: np.random.Generator
) -> np.ndarray:
    """A random walk, shape (checkpoints, texts)."""
    if kind == "texts":
        steps = drawn(law, (checkpoints - 1, texts), generator)
    elif law == "t5":  # a multivariate t: one length for all texts
        length = np.sqrt(5.0 / generator.chisquare(5, (checkpoints - 1, 1)))
        steps = length * generator.standard_normal((checkpoints - 1, texts))
    else:
        length = np.abs(drawn(law, (checkpoints - 1, 1), generator)) if law != "normal" else 1.0
        steps = length * generator.standard_normal((checkpoints - 1, texts))
    return np.vstack([np.zeros(texts), np.cumsum(steps, axis=0)])


def near(path: np.ndarray) -> np.ndarray:
    """Squared distances between checkpoints at most so far apart as a study looks."""
    n = len(path)
    table = np.full((n, n), np.nan)
    np.fill_diagonal(table, 0.0)
    for lag in range(1, min(_REACH, n - 1) + 1):
        at = np.arange(n - lag)
        table[at, at + lag] = np.sum((path[lag:] - path[:-lag]) ** 2, axis=1)
        table[at + lag, at] = table[at, at + lag]
    return table


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """One dict a measurement: quantity, law, lags or texts, nominal, measured, note."""
    generator = np.random.default_rng(20)
    result = _false_alarms(reduced, generator) + _found(reduced, generator)
    return result + _siblings(reduced, generator) + _periods(reduced, generator)


def _false_alarms(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    sizes = {20: 40, 142: 20} if reduced else {20: 400, 60: 200, 142: 200, 1000: 60}
    result = []
    for kind in ("texts", "lengths"):
        for law in LAWS:
            for checkpoints, repeats in sizes.items():
                alarms = sum(
                    len(checkpoint_anomalies(_steps(checkpoints), near(path))) > 0
                    for path in (
                        walk(law, kind, checkpoints, TEXTS, generator) for _ in range(repeats)
                    )
                )
                result.append(
                    {
                        "quantity": "trajectories with a false anomaly",
                        "law": law,
                        "texts": TEXTS,
                        "nominal": 0.01,
                        "measured": alarms / repeats,
                        "note": f"{checkpoints} checkpoints, law of the {kind}, {repeats} paths",
                    }
                )
    return result


def _found(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 10 if reduced else 100
    result = []
    for directions, times in ((300, 4), (20, 10), (20, 100)):
        found = 0
        for _ in range(repeats):
            path = walk("normal", "texts", 142, directions, generator)
            at = int(generator.integers(5, 137))
            push = generator.standard_normal(directions)
            path[at] += push * np.sqrt(times * directions / (push @ push))
            table = checkpoint_anomalies(_steps(142), near(path))
            found += ((table["kind"] == "checkpoint") & (table["step"] == _steps(142)[at])).any()
        result.append(
            {
                "quantity": "displaced checkpoints that are found",
                "law": "normal",
                "texts": directions,
                "nominal": float("nan"),
                "measured": found / repeats,
                "note": f"by {times} times the usual squared distance, {repeats} paths",
            }
        )
    return result


def _siblings(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 20 if reduced else 300
    result = []
    for law in LAWS:
        for count in (5, 9):
            names = [f"seed{k}" for k in range(count)]
            i, j = np.triu_indices(count, 1)
            alarms = hits = 0
            for _ in range(repeats):
                path = drawn(law, (count, TEXTS), generator)
                for far in (False, True):
                    path[0] *= 2.0 if far else 1.0
                    kl, se = kl_pairs(path, i, j)
                    between = pd.DataFrame(
                        {
                            "step": 0,
                            "trajectory": [names[k] for k in i],
                            "other": [names[k] for k in j],
                            "kl": kl,
                            "se": se,
                        }
                    )
                    table = sibling_anomalies(between, dict.fromkeys(names, "m"))
                    if far:
                        hits += bool(table["outlier"].iloc[0])
                    else:
                        alarms += bool(table["outlier"].any())
            what = {"law": law, "texts": TEXTS, "note": f"{count} siblings, {repeats} families"}
            result += [
                {
                    "quantity": "families with a false outlying training",
                    "nominal": 0.05,
                    "measured": alarms / repeats,
                    **what,
                },
                {
                    "quantity": "outlying trainings found, at 2.5 times the squared distance",
                    "nominal": float("nan"),
                    "measured": hits / repeats,
                    **what,
                },
            ]
    return result


def _periods(reduced: bool, generator: np.random.Generator) -> list[dict[str, Any]]:
    repeats = 200 if reduced else 2000
    return [
        {
            "quantity": "white noise in which a period is named",
            "law": "normal",
            "texts": float("nan"),
            "nominal": 0.05,
            "measured": sum(
                autocorrelation(_steps(n), generator.standard_normal(n)).period is not None
                for _ in range(repeats)
            )
            / repeats,
            "note": f"{n} checkpoints, {repeats} series",
        }
        for n in (12, 77)
    ]


def _steps(checkpoints: int) -> np.ndarray:
    return 2000 + 1000 * np.arange(checkpoints)


if __name__ == "__main__":
    main(rows, __doc__)
