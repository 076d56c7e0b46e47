"""Generated points of a map: types of models, or trajectories of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.points.neighbours import nearest


class Generated(NamedTuple):
    points: pd.DataFrame
    kl: np.ndarray
    se: np.ndarray
    nearest: pd.DataFrame


def generate(points: int, *, trajectories: int = 0, types: int = 3, seed: int = 0) -> Generated:
    """Points around their types' centres, or on random walks; three coordinates drawn as such."""
    random = np.random.default_rng(seed)
    group = np.arange(points) % (trajectories or types)
    if trajectories:
        q = np.zeros((points, 50))
        for k in range(trajectories):
            q[group == k] = np.cumsum(random.normal(0.0, 0.05, (int((group == k).sum()), 50)), 0)
    else:
        q = random.normal(0.0, 0.3, (types, 50))[group] + random.normal(0.0, 0.05, (points, 50))
    names = [f"org-{k % 7}/model-{k}-7B" for k in range(points)]
    kl, se = kl_with_standard_error(q)
    near = nearest(pd.DataFrame(kl, columns=names), pd.DataFrame(se, columns=names))
    frame = pd.DataFrame(
        {
            "point": names,
            "run_id": [f"{k:032x}" for k in range(points)],
            "trajectory": pd.array(
                [f"training {k}" if trajectories else None for k in group], dtype="string"
            ),
            "step": pd.array(
                [k * 10 if trajectories else None for k in range(points)], dtype="Int64"
            ),
            "model_type": pd.array([f"type {k}" for k in group], dtype="string"),
            "precision": pd.array(["float32"] * points, dtype="string"),
            "layer": pd.array([None] * points, dtype="Int64"),
            "bits_per_byte": 1.0 + random.random(points),
        }
    )
    for k, column in enumerate(("pca_1", "pca_2", "pca_3")):
        frame[column] = q[:, k]
    for k, column in enumerate(("tsne2_1", "tsne2_2", "tsne3_1", "tsne3_2", "tsne3_3")):
        frame[column] = q[:, k] * 30.0
    return Generated(frame, kl, se, near)


@pytest.fixture
def generated() -> Callable[..., Generated]:
    return generate
