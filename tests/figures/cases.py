"""How much there is to draw in a usual and in extreme cases, and generated data of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mlflow_modelmap.figures.trajectory.kl import (
    line_colours,
)

LONG = "an-organisation/a-model-with-a-name-of-sixty-characters-v0.1"
ODD = ("naïve-Жук-λ", "a $1 {name}_^", LONG)


class Case(NamedTuple):
    """How much there is to draw."""

    models: int
    trainings: int
    checkpoints: int
    odd: bool = False

    def names(self, count: int, word: str) -> list[str]:
        made = [f"{word}-{k}-{(k % 5 + 1) * 70}m" for k in range(count)]
        return [*ODD, *made][:count] if self.odd else made


CASES = {
    "usual": Case(12, 4, 25),
    "fewest": Case(2, 1, 3),
    "many": Case(200, 40, 8),
    "odd": Case(9, 3, 12, odd=True),
}


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def models(case: Case) -> pd.DataFrame:
    """Models of a few types, some of none, with coordinates."""
    draw, count = random(), case.models
    kind = np.arange(count) % max(2, min(40, count // 3))
    where = draw.normal(0, 1, (kind.max() + 1, 3))[kind] + draw.normal(0, 0.25, (count, 3))
    table = pd.DataFrame(where, columns=["pca_1", "pca_2", "pca_3"])
    types = [f"type {k}" if k or count < 3 else None for k in kind]
    return table.assign(
        **dict(zip(("tsne2_1", "tsne2_2"), 20 * where.T[:2], strict=True)),
        point=case.names(count, "model"),
        run_id=[f"{k:032x}" for k in range(count)],
        trajectory=pd.array([None] * count, dtype="string"),
        step=pd.array([None] * count, dtype="Int64"),
        layer=pd.array([None] * count, dtype="Int64"),
        precision=pd.array(["float32"] * count, dtype="string"),
        model_type=pd.array(types, dtype="string"),
        bits_per_byte=1 + draw.random(count),
    )


def steps(case: Case) -> np.ndarray:
    return (
        2 ** np.arange(10, 10 + case.checkpoints)
        if case.checkpoints < 5
        else (np.r_[0, 1, 8, 64, 512, 1000 * np.arange(1, case.checkpoints - 4)])
    )


def checkpoints(case: Case) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Trainings as random walks of many dimensions, their rows, and the coordinates."""
    draw, at = random(), steps(case)
    names = case.names(case.trainings, "training")
    walks = draw.normal(0, 1, (len(names), len(at), 12)) * np.r_[4, 2, 0.5, np.full(9, 0.05)]
    q = np.concatenate(np.cumsum(walks, axis=1))
    rows = {name: np.arange(len(at)) + k * len(at) for k, name in enumerate(names)}
    table = pd.DataFrame(
        {
            "point": [f"{name} step {step}" for name in names for step in at],
            "run_id": [f"{k:032x}" for k in range(len(q))],
            "trajectory": np.repeat(names, len(at)),
            "step": np.tile(at, len(names)),
            "layer": pd.array([None] * len(q), dtype="Int64"),
            "precision": "float32",
            "model_type": "neox",
            "pca_1": q[:, 0],
            "pca_2": q[:, 1],
            "tsne2_1": q[:, 0],
            "tsne2_2": q[:, 1],
        }
    )
    return table, rows, q


def squared(q: np.ndarray) -> np.ndarray:
    return ((q[:, None] - q) ** 2).sum(axis=2)


def along(case: Case, *, zeros: bool = True) -> pd.DataFrame:
    """KL from the checkpoint before: smaller and smaller, with a 0 and a 16 where names are odd."""
    draw, at = random(), steps(case)
    parts = []
    for name in case.names(case.trainings, "training"):
        kl = 0.5 / np.arange(1, len(at)) * draw.lognormal(0, 0.2, len(at) - 1)
        if case.odd and zeros:
            kl[1], kl[-1] = 16.0, 0.0
        parts.append(
            pd.DataFrame(
                {
                    "trajectory": name,
                    "step_from": at[:-1],
                    "step": at[1:],
                    "kl": kl,
                    "se": 0.12 * kl,
                    "kl_per_1000_steps": kl / np.diff(at) * 1000,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def colours(case: Case) -> dict[str, str]:
    return line_colours(case.names(case.trainings, "training"))
