"""KL along and between trajectories against direct double sums."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.trajectory.kl_along import kl_between, kl_from, kl_previous
from mlflow_modelmap.numerics.trajectory.trajectories import common_steps
from tests.numerics.trajectory.conftest import direct_kl_and_error


def test_kl_from_the_checkpoint_before_is_the_double_sum(two):
    matrix, given = two
    table = kl_previous(coordinates(matrix), given)
    assert table[["trajectory", "step_from", "step"]].values.tolist() == [
        ["a", 0, 1000],
        ["a", 1000, 4000],
        ["b", 0, 1000],
        ["b", 1000, 3000],
        ["b", 3000, 7000],
    ]
    rows = [(1, 5), (5, 3), (2, 4), (4, 0), (0, 6)]
    expected = [direct_kl_and_error(matrix, i, j) for i, j in rows]
    np.testing.assert_allclose(table["kl"], [kl for kl, _ in expected], rtol=1e-10)
    np.testing.assert_allclose(table["se"], [se for _, se in expected], rtol=1e-9)
    gaps = np.array([1000, 3000, 1000, 2000, 4000])
    np.testing.assert_allclose(table["kl_per_1000_steps"], 1000 * table["kl"] / gaps)


def test_kl_from_a_fixed_start(two):
    matrix, given = two
    table = kl_from(coordinates(matrix), given, 1000)
    assert table[["trajectory", "step"]].values.tolist() == [["a", 4000], ["b", 3000], ["b", 7000]]
    np.testing.assert_allclose(table["kl"][2], direct_kl_and_error(matrix, 4, 6)[0], rtol=1e-10)
    with pytest.raises(InputError, match="No trajectory has a checkpoint at step 2500"):
        kl_from(coordinates(matrix), given, 2500)


def test_kl_between_trajectories_at_the_same_step(two):
    matrix, given = two
    table = kl_between(coordinates(matrix), given)
    assert table[["step", "trajectory", "other"]].values.tolist() == [
        [0, "a", "b"],
        [1000, "a", "b"],
    ]
    np.testing.assert_allclose(table["kl"][1], direct_kl_and_error(matrix, 5, 4)[0], rtol=1e-10)
    assert common_steps(given).tolist() == [0, 1000]
