"""Confidence intervals of a KL cover the truth and stay positive."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval


@pytest.mark.parametrize(
    ("name", "texts"), [("standard_normal", 100), ("laplace", 500), ("laplace", 1000)]
)
def test_intervals_cover_the_truth_and_stay_positive(name, texts):
    difference = getattr(np.random.default_rng(4), name)(size=(2000, texts))
    truth = 1.0 if name == "standard_normal" else 2.0
    kl = difference.var(axis=1)
    se = np.std((difference - difference.mean(axis=1, keepdims=True)) ** 2, axis=1) / texts**0.5
    low, high = confidence_interval(kl, se)
    assert (low > 0).all()
    assert 0.925 < np.mean((low <= truth) & (truth <= high)) < 0.97
    wide_low, wide_high = confidence_interval(kl, se, 0.99)
    assert (wide_low < low).all()
    assert (wide_high > high).all()


def test_intervals_at_the_ends():
    low, high = confidence_interval([0.0, 0.5, 1e-300], [0.0, 0.0, 1.0])
    assert low.tolist() == [0.0, 0.5, 0.0]
    assert high.tolist() == [0.0, 0.5, np.inf]
    with pytest.raises(InputError, match="level of 95"):
        confidence_interval(1.0, 0.1, 95)
