"""The Hoelder exponent and the dimension, with their intervals."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import (
    exponent_of_coordinates,
)
from mlflow_modelmap.numerics.diffusion.hoelder_and_dimension import (
    Interval,
    effective_dimension,
    ratio,
)
from tests.numerics.generated import fbm_paths

TEN = 1000 * np.arange(1, 11)


def test_dimensions_and_the_hoelder_exponent():
    assert effective_dimension(Interval(1.0, 0.8, 1.25)) == (2.0, 1.6, 2.5)
    assert effective_dimension(Interval(0.2, -0.1, 0.4)).value == 10.0
    assert np.isnan(effective_dimension(Interval(0.2, -0.1, 0.4)).high)
    alpha = ratio(Interval(0.2, 0.15, 0.25), Interval(1.0, 0.9, 1.1))
    assert alpha.value == pytest.approx(0.2)
    assert 0.13 < alpha.low < 0.16
    assert 0.24 < alpha.high < 0.27
    exact = ratio(Interval(0.2, 0.1, 0.3), Interval(2.0, 2.0, 2.0))
    assert exact == pytest.approx((0.1, 0.05, 0.15))
    assert np.isnan(ratio(Interval(0.2, 0.1, 0.3), Interval(0.5, -0.5, 1.5)).high)


def test_the_ratio_covers_too():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(150):
        q = exponent_of_coordinates(TEN, fbm_paths(0.2, TEN, np.ones(60), rng))
        w = exponent_of_coordinates(TEN, fbm_paths(1.0, TEN, np.ones(60), rng))
        alpha = ratio(Interval(q.exponent, q.low, q.high), Interval(w.exponent, w.low, w.high))
        covered += alpha.low <= 0.2 <= alpha.high
    assert covered >= 134


def test_a_path_that_does_not_spread_has_no_dimension():
    with pytest.raises(InputError, match=r"An exponent of -0.1 has no effective dimension"):
        effective_dimension(Interval(-0.1, -0.2, 0.0))
    with pytest.raises(InputError, match="ratio to an exponent of 0"):
        ratio(Interval(0.2, 0.1, 0.3), Interval(0.0, 0.0, 0.0))
