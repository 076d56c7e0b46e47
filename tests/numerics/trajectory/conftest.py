"""A matrix of two small trajectories."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.trajectories import trajectories


def a_matrix(points=7, texts=40, seed=0):
    rng = np.random.default_rng(seed)
    values = -300 + 40 * rng.standard_normal(texts) + 5 * rng.standard_normal((points, texts))
    names = tuple(f"p{i}" for i in range(points))
    return LogLikelihoodMatrix(values, names, rng.integers(200, 1024, texts))


@pytest.fixture
def two():
    matrix = a_matrix()
    labels = ["b", "a", "b", "a", "b", "a", "b"]
    steps = [3000, 0, 0, 4000, 1000, 1000, 7000]
    return matrix, trajectories(labels, steps, matrix.points)


def direct_kl_and_error(matrix, i, j):
    """KL in bits/byte and its error, by loops over the texts as the paper writes them."""
    texts = matrix.values.shape[1]
    difference = [matrix.values[i, s] - matrix.values[j, s] for s in range(texts)]
    mean = sum(difference) / texts
    unit = 2 * texts * matrix.mean_bytes * np.log(2)
    kl = sum((d - mean) ** 2 for d in difference) / unit
    fourth = sum(((d - mean) ** 2 / unit) ** 2 for d in difference)
    return kl, np.sqrt(fourth - kl**2 / texts)
