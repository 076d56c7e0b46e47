"""The deviation of a fitted slope under fractional Brownian motion."""

import numpy as np
import pytest
from scipy import special

from mlflow_modelmap.numerics.diffusion.fractional_motion import slope_deviation
from mlflow_modelmap.numerics.diffusion.power_law import power_law
from tests.numerics.generated import fbm_paths

TEN = 1000 * np.arange(1, 11)

GRID = np.linspace(0.02, 1.90, 48)


@pytest.mark.parametrize(("exponent", "directions"), [(0.2, 3), (1.0, 1), (1.0, 40)])
def test_the_deviation_of_the_slope_is_exact(exponent, directions):
    rng = np.random.default_rng(6)
    slopes = [
        power_law(TEN, np.sum(fbm_paths(exponent, TEN, np.ones(directions), rng)[1:] ** 2, axis=1))
        for _ in range(3000)
    ]
    expected = np.interp(exponent, GRID, slope_deviation(TEN, directions))
    assert np.std([s.exponent for s in slopes]) == pytest.approx(expected, rel=0.06)


def test_the_deviation_of_two_lags_has_a_closed_form():
    """At c = 1 and lags 1 and 2 of d = 2 directions, the covariance of logs is a dilogarithm."""
    covariance = special.spence(1 - 0.5)
    variance = (2 * special.polygamma(1, 1.0) - 2 * covariance) / np.log(2) ** 2
    found = np.interp(1.0, GRID, slope_deviation([1, 2], 2.0) ** 2)
    assert found == pytest.approx(variance, rel=1e-3)
