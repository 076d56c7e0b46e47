"""A trajectory that grows says at every checkpoint what the whole one says of it."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import exponent_of_coordinates
from mlflow_modelmap.numerics.divergence.kl import kl_between, kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.anomalies import checkpoint_anomalies
from mlflow_modelmap.numerics.trajectory.running import RunningTrajectory
from tests.numerics.generated import training


def vectors(checkpoints=30, seed=0, exponent=0.4):
    """Log-likelihoods along a generated training, its steps, and bytes of the texts."""
    steps, path = training(exponent, checkpoints, 120, seed)
    size = np.random.default_rng(seed).integers(300, 900, path.shape[1])
    return steps, path - 0.7 * size, size


@pytest.mark.parametrize("weighted", [False, True])
def test_it_agrees_with_the_whole_trajectory(weighted):
    steps, values, size = vectors()
    weights = np.random.default_rng(1).uniform(0.2, 5.0, len(size)) if weighted else None
    matrix = LogLikelihoodMatrix(values, tuple(map(str, steps)), size, weights)
    q = coordinates(matrix)
    kl, se = kl_with_standard_error(q, matrix.sampling)
    running = RunningTrajectory(size, weights, warm_up=4000)
    for k, step in enumerate(steps):
        running.add(int(step), values[k])
        latest = running.latest()
        assert latest.step == step
        if k == 0:
            assert latest.kl is None
            assert latest.exponent is None
            continue
        assert (latest.kl, latest.se) == pytest.approx((kl[k, k - 1], se[k, k - 1]), rel=1e-9)
        assert latest.kl_first == pytest.approx(kl[k, 0], rel=1e-9)
        plain = kl_between(
            values[k], values[k - 1], matrix.mean_bytes, weights=weights, text_bytes=size
        )
        assert (latest.kl, latest.se) == pytest.approx(plain, rel=1e-9)
        first = max(2, k - 10)
        if k - first < 3:
            assert latest.exponent is None
        else:
            lags = steps[first + 1 : k + 1] - steps[first]
            assert latest.exponent is not None
            expected = exponent_of_coordinates(lags, q[first : k + 1])
            assert latest.exponent == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert running.table == pytest.approx(kl, rel=1e-9)
    assert running.anomalies().equals(checkpoint_anomalies(steps, running.table, 4000))


def test_a_damaged_checkpoint_is_a_jump_at_once_and_a_checkpoint_once_the_next_is_back():
    steps, values, size = vectors(40, exponent=1.0)
    values = values.copy()
    values[25] += 12.0 * np.random.default_rng(3).standard_normal(values.shape[1])
    running = RunningTrajectory(size, warm_up=2000)
    said = {}
    for step, row in zip(steps, values, strict=True):
        running.add(int(step), row)
        said[int(step)] = running.anomalies()
    assert said[steps[24]].empty
    assert said[steps[25]][["kind", "step"]].values.tolist() == [["jump", steps[25]]]
    for later in steps[26:]:
        assert said[later][["kind", "step"]].values.tolist() == [["checkpoint", steps[25]]]


@pytest.mark.parametrize("seeds", [5, pytest.param(12, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("exponent", [0.2, 1.0])
def test_looking_at_every_checkpoint_raises_hardly_an_alarm_on_clean_trainings(exponent, seeds):
    alarms = looks = 0
    for seed in range(seeds):
        steps, values, size = vectors(60, seed, exponent)
        running = RunningTrajectory(size, warm_up=2000)
        for step, row in zip(steps, values, strict=True):
            running.add(int(step), row)
            alarms += bool(len(running.anomalies()))
            looks += 1
    assert looks == seeds * 60
    assert alarms == 0


def test_a_model_that_does_not_move_has_no_exponent_but_an_anomaly():
    _, values, size = vectors()
    running = RunningTrajectory(size)
    for step in range(12):
        running.add(step, values[0])
    latest = running.latest()
    assert (latest.kl, latest.se, latest.exponent) == (0.0, 0.0, None)
    assert set(running.anomalies()["kind"]) == {"identical"}


def test_what_cannot_be_added_is_said():
    _, values, size = vectors()
    running = RunningTrajectory(size)
    with pytest.raises(InputError, match="No checkpoint is recorded yet"):
        running.latest()
    running.add(10, values[0])
    with pytest.raises(InputError, match="step 10 does not come after step 10"):
        running.add(10, values[1])
    with pytest.raises(InputError, match="of text 0 under 'step 11' is nan"):
        running.add(11, np.full(len(size), np.nan))
    with pytest.raises(InputError, match="does not fit"):
        running.add(11, values[0][:-1])
    assert len(running) == 1
    with pytest.raises(InputError, match=r"window of 4 checkpoints is too short.*give 5 or more"):
        RunningTrajectory(size, window=4)
