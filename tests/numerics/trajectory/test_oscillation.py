"""Autocorrelation and its period."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.oscillation import autocorrelation, late_part
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory


def test_the_period_of_a_wave_is_found():
    steps = np.arange(67_000, 143_001, 1000)
    found = autocorrelation(steps, np.sin(2 * np.pi * steps / 20_000))
    assert found.period == 20_000
    assert found.values[0] == pytest.approx(1.0)
    assert found.lags[1] == 1000


def test_missing_checkpoints_do_not_move_the_period():
    steps = np.arange(67_000, 143_001, 1000)
    keep = np.random.default_rng(0).random(steps.size) > 0.1
    found = autocorrelation(steps[keep], np.cos(2 * np.pi * steps[keep] / 20_000))
    assert found.period == pytest.approx(20_000, abs=1000)
    assert (np.diff(found.lags) == 1000).all()


def test_the_autocorrelation_is_the_definition():
    x = np.random.default_rng(1).standard_normal(9)
    d = x - x.mean()
    expected = [sum(d[t] * d[t + k] for t in range(9 - k)) / sum(d * d) for k in range(9)]
    np.testing.assert_allclose(autocorrelation(np.arange(9) * 10, x).values, expected)


def test_a_line_has_no_period():
    assert autocorrelation(np.arange(10) * 5, np.arange(10.0)).period is None
    with pytest.raises(InputError, match="does not vary"):
        autocorrelation(np.arange(10), np.ones(10))
    with pytest.raises(InputError, match="3 checkpoints are too few"):
        autocorrelation(np.arange(3), np.arange(3))


def test_the_late_part_of_pythia_begins_at_67k():
    steps = np.array([0, 512, *range(1000, 143_001, 1000)])
    assert late_part(Trajectory("a", steps, np.arange(steps.size))).steps[0] == 67_000


def test_white_noise_stays_in_its_band_and_has_no_period():
    rng = np.random.default_rng(5)
    found = [autocorrelation(np.arange(77), rng.standard_normal(77)) for _ in range(400)]
    inside = [(f.low[1:39] <= f.values[1:39]) & (f.values[1:39] <= f.high[1:39]) for f in found]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    # Of 400 at 5 %, more than 34 come once in a thousand times.
    assert sum(f.period is not None for f in found) <= 34


def test_a_noisy_wave_keeps_its_period():
    steps = np.arange(67_000, 143_001, 1000)
    noise = 0.5 * np.random.default_rng(6).standard_normal(steps.size)
    found = autocorrelation(steps, np.sin(2 * np.pi * steps / 20_000) + noise)
    assert found.period == pytest.approx(20_000, abs=1000)
