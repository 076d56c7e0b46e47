"""Diffusion exponents of fractional Brownian motion of known exponent, and their intervals."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.diffusion.exponents import (
    exponent_of_coordinates,
    exponent_of_distances,
)
from mlflow_modelmap.numerics.diffusion.power_law import power_law
from tests.numerics.generated import fbm_paths

TEN = 1000 * np.arange(1, 11)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_fractional_brownian_motion_is_recovered_within_its_interval(exponent):
    found = exponent_of_coordinates(TEN, fbm_paths(exponent, TEN, np.ones(3000), seed=4))
    assert found.low <= exponent <= found.high
    assert found.high - found.low < 0.12
    assert found.exponent == pytest.approx(exponent, abs=0.05)
    assert 1500 < found.directions < 6000


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("variances", [np.ones(30), 1 / np.arange(1, 60)], ids=["equal", "unequal"])
def test_the_interval_covers_the_exponent_as_often_as_it_says(exponent, variances):
    rng = np.random.default_rng(11)
    by_coordinates = by_distances = 0
    for _ in range(150):
        x = fbm_paths(exponent, TEN, variances, rng)
        gram = x[1:] @ x[1:].T
        own = np.diagonal(gram)
        one = exponent_of_coordinates(TEN, x)
        two = exponent_of_distances(TEN, own, own[:, None] + own - 2 * gram)
        assert one.exponent == pytest.approx(two.exponent)
        by_coordinates += one.low <= exponent <= one.high
        by_distances += two.low <= exponent <= two.high
    # Of 150 at 95 %, fewer than 134 come once in a thousand times.
    assert by_coordinates >= 134
    assert by_distances >= 134


def test_the_regressions_own_error_would_not_do():
    """Why the interval is made as it is: residuals along one path are correlated."""
    rng = np.random.default_rng(5)
    x = np.log(TEN) - np.log(TEN).mean()
    covered = 0
    for _ in range(300):
        squared = np.sum(fbm_paths(1.0, TEN, np.ones(30), rng)[1:] ** 2, axis=1)
        fit = power_law(TEN, squared)
        residual = np.log(squared) - fit.intercept - fit.exponent * np.log(TEN)
        error = np.sqrt(residual @ residual / 8 / (x @ x))
        covered += abs(fit.exponent - 1.0) <= 2.31 * error
    assert covered < 0.75 * 300


def test_directions_are_counted_as_a_participation_ratio():
    variances = 1 / np.arange(1, 200)
    true = variances.sum() ** 2 / np.sum(variances**2)
    rng = np.random.default_rng(7)
    found = [
        1 / exponent_of_coordinates(TEN, fbm_paths(0.5, TEN, variances, rng)).directions
        for _ in range(200)
    ]
    assert 1 / np.mean(found) == pytest.approx(true, rel=0.1)


def test_the_sampling_of_texts_widens_the_interval():
    """A thousand directions, but all weight on a few texts that move alike."""
    rng = np.random.default_rng(8)
    x = fbm_paths(0.2, TEN, np.ones(1000), rng)
    few = np.concatenate([x, 20 * fbm_paths(1.5, TEN, np.ones(2), rng)], axis=1)
    even, uneven = exponent_of_coordinates(TEN, x), exponent_of_coordinates(TEN, few)
    assert uneven.text_error > 5 * even.text_error
    assert uneven.high - uneven.low > 2 * 1.9 * uneven.text_error
