"""Two sizes of a small Pythia."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.trajectories import trajectories

STEPS = [0, 512, 1000, 2000, 3000, 4000, 5000]


@pytest.fixture
def pythia():
    """Two sizes, seven checkpoints, 200 texts of which some move wildly."""
    rng = np.random.default_rng(3)
    texts = 200
    labels = ["410m"] * len(STEPS) + ["1b"] * len(STEPS)
    steps = STEPS * 2
    wild = 1 + 30 * (rng.random(texts) > 0.93)
    values = -400 + 80 * rng.standard_normal(texts) + wild * rng.standard_normal((14, texts))
    values[11] -= 100 * rng.random(texts)
    points = tuple(f"{a}-step{b}" for a, b in zip(labels, steps, strict=True))
    matrix = LogLikelihoodMatrix(values, points, rng.integers(300, 1024, texts))
    return matrix, trajectories(labels, steps, points), labels, steps
