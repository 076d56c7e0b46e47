"""Jitter and uneven steps are told from subdiffusion; a power law is left alone."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.diffusion.exponents import exponent_of_coordinates
from mlflow_modelmap.numerics.diffusion.offset import offset_fit
from tests.numerics.generated import fbm_paths

TEN = 1000 * np.arange(1, 11)


def gram_of(path):
    moved = path[1:] - path[0]
    return moved @ moved.T


def jittered(variance, directions, rng, exponent=1.0):
    path = fbm_paths(exponent, TEN / 1000, np.ones(directions), rng)
    return path + np.sqrt(variance) * rng.standard_normal(path.shape)


def test_jitter_that_looks_like_subdiffusion_is_told_from_it():
    rng = np.random.default_rng(0)
    directions = 1000
    path = jittered(10.0, directions, rng)
    plain = exponent_of_coordinates(TEN, path)
    assert plain.exponent < 0.25  # of a Brownian motion, c = 1
    assert plain.lack_of_fit < 0.001
    assert plain.exponent_with_offset == pytest.approx(1.0, abs=0.35)
    # Each distance holds the jitter of two checkpoints, in every direction.
    assert plain.offset == pytest.approx(2 * 10 * directions, rel=0.1)


def test_the_fit_with_an_offset_is_right_on_average():
    rng = np.random.default_rng(1)
    found = [offset_fit(gram_of(jittered(1.0, 500, rng, 0.6)), TEN) for _ in range(40)]
    assert np.median([f.exponent for f in found]) == pytest.approx(0.6, abs=0.08)
    assert np.median([f.offset for f in found]) == pytest.approx(2 * 500, rel=0.15)


def test_steps_of_heavy_tailed_length_are_no_power_law():
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(20):
        steps = rng.standard_normal((10, 200)) * np.exp(0.75 * rng.standard_normal((10, 1)))
        alarms += (
            offset_fit(gram_of(np.cumsum(np.vstack([steps[:1] * 0, steps]), 0)), TEN)[2] < 0.05
        )
    assert alarms >= 19


@pytest.mark.parametrize("exponent", [0.2, 1.0, 1.5])
@pytest.mark.parametrize("directions", [3, 300])
def test_a_power_law_is_hardly_ever_refused(exponent, directions):
    rng = np.random.default_rng(3)
    paths = (fbm_paths(exponent, TEN, np.ones(directions), rng) for _ in range(150))
    alarms = sum(offset_fit(gram_of(path), TEN).lack_of_fit < 0.05 for path in paths)
    # Of 150 at 8 %, more than 22 come once in a thousand times.
    assert alarms <= 22


def test_the_lack_of_fit_does_not_depend_on_the_scale_or_the_unit_of_steps():
    path = jittered(1.0, 50, np.random.default_rng(4))
    one, other = offset_fit(gram_of(path), TEN), offset_fit(9.0 * gram_of(path), TEN / 500)
    assert other.lack_of_fit == pytest.approx(one.lack_of_fit)
    assert other.exponent == pytest.approx(one.exponent)
    assert other.offset == pytest.approx(9.0 * one.offset)


def test_few_lags_are_not_judged_and_many_are_thinned():
    rng = np.random.default_rng(5)
    assert np.isnan(offset_fit(np.eye(4), np.arange(1, 5))).all()
    lags = np.arange(1, 201)
    found = offset_fit(gram_of(fbm_paths(0.8, lags, np.ones(400), rng)), lags)
    assert found.exponent == pytest.approx(0.8, abs=0.1)
