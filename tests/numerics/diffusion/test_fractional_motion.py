"""The deviation of a fitted slope under fractional Brownian motion."""

import numpy as np
import pytest
from scipy import special, stats

from mlflow_modelmap.numerics.diffusion.fractional_motion import (
    directions_of,
    interval,
    slope_deviation,
)
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


def test_the_interval_ends_at_the_outermost_root_where_an_iteration_would_go_round():
    """Lags 1..10, c 0.5, two directions: iterated, the end falls into a 2-cycle about 1.58."""
    lags = np.arange(1, 11)
    factor = stats.t.ppf(0.975, 45) * (1 + 8 / (100 * 2.0))
    half = factor * slope_deviation(lags, 2.0)
    low, high = interval(lags, 0.5, 2.0, 0.0)
    fine = np.linspace(-2, 4, 60_001)
    inside = np.abs(0.5 - fine) <= np.interp(fine, GRID, half)
    assert high == pytest.approx(fine[inside].max(), abs=2e-4)
    assert low == pytest.approx(fine[inside].min(), abs=2e-4)
    assert high > 1.8


def test_three_lags_have_no_interval():
    assert np.isnan(interval(np.arange(1, 4), 0.5, 30.0, 0.0)).all()


@pytest.mark.parametrize(("lags", "directions"), [(4, 1), (4, 300), (5, 1), (5, 2)])
@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_short_windows_are_covered_as_often_as_is_said(lags, directions, exponent):
    times = np.arange(1, lags + 1)
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(250):
        x = fbm_paths(exponent, times, np.ones(directions), rng)[1:]
        gram = x @ x.T
        fit = power_law(times, np.diagonal(gram)).exponent
        low, high = interval(times, fit, directions_of(gram, times, fit), 0.0)
        covered += low <= exponent <= high
    # Of 250 at 95 %, fewer than 226 come once in a thousand times.
    assert covered >= 226
