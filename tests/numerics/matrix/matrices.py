"""Generated log-likelihood matrices, also weighted and with texts repeated."""

import numpy as np

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix


def matrix(points=5, texts=40, seed=0):
    rng = np.random.default_rng(seed)
    return LogLikelihoodMatrix(
        values=rng.normal(-600.0, 120.0, (points, texts)),
        points=tuple(f"m{k}" for k in range(points)),
        text_bytes=rng.integers(200, 1025, texts),
    )


def weighted(given, weights):
    return LogLikelihoodMatrix(given.values, given.points, given.text_bytes, weights)


def repeated(given, times):
    return LogLikelihoodMatrix(
        np.repeat(given.values, times, axis=1), given.points, np.repeat(given.text_bytes, times)
    )
