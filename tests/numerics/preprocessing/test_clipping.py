"""Clipping of weighted texts."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from tests.numerics.matrix.matrices import repeated, weighted


def test_weighted_texts_are_clipped_where_the_texts_that_they_stand_for_would_be(pythia):
    matrix, *_ = pythia
    times = np.random.default_rng(0).integers(1, 6, 200)
    one, value, count = clip_bottom(weighted(matrix, times.astype(float)), 0.05)
    _, many, _ = clip_bottom(repeated(matrix, times), 0.05)
    assert value == pytest.approx(many, abs=0.1)
    assert count == (matrix.values < value).sum() != 0
    assert value != pytest.approx(clip_bottom(matrix, 0.05)[1], abs=0.1)
    assert one.values.min() == value
    np.testing.assert_array_equal(one.weights, times)
    even = clip_bottom(weighted(matrix, np.full(200, 3.0)), 0.05)
    assert even[1] == clip_bottom(matrix, 0.05)[1]
