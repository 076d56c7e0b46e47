"""KL along and between trajectories against direct double sums; what makes a trajectory."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, coordinates
from mlflow_modelmap.numerics.trajectory.trajectories import (
    common_steps,
    default_warm_up,
    distance_table,
    kl_between,
    kl_from,
    kl_previous,
    squared_distances,
    trajectories,
    usual_spacing,
)
from mlflow_modelmap.words.natural_order import natural

PYTHIA = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 143_001, 1000)]


def a_matrix(points=7, texts=40, seed=0):
    rng = np.random.default_rng(seed)
    values = -300 + 40 * rng.standard_normal(texts) + 5 * rng.standard_normal((points, texts))
    names = tuple(f"p{i}" for i in range(points))
    return LogLikelihoodMatrix(values, names, rng.integers(200, 1024, texts))


def direct_kl_and_error(matrix, i, j):
    """KL in bits/byte and its error, by loops over the texts as the paper writes them."""
    texts = matrix.values.shape[1]
    difference = [matrix.values[i, s] - matrix.values[j, s] for s in range(texts)]
    mean = sum(difference) / texts
    unit = 2 * texts * matrix.mean_bytes * np.log(2)
    kl = sum((d - mean) ** 2 for d in difference) / unit
    fourth = sum(((d - mean) ** 2 / unit) ** 2 for d in difference)
    return kl, np.sqrt(fourth - kl**2 / texts)


@pytest.fixture
def two():
    matrix = a_matrix()
    labels = ["b", "a", "b", "a", "b", "a", "b"]
    steps = [3000, 0, 0, 4000, 1000, 1000, 7000]
    return matrix, trajectories(labels, steps, matrix.points)


def test_points_are_put_in_order_of_step(two):
    _, given = two
    assert [t.name for t in given] == ["a", "b"]
    assert given[0].steps.tolist() == [0, 1000, 4000]
    assert given[0].rows.tolist() == [1, 5, 3]
    assert given[1].rows.tolist() == [2, 4, 0, 6]


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


def test_squared_distances_leave_far_pairs_unknown(two):
    matrix, given = two
    table = squared_distances(coordinates(matrix), given[1], most_steps=3000)
    assert np.isnan(table[0, 3])
    assert np.isnan(table[3, 0])
    np.testing.assert_allclose(table[0, 2], direct_kl_and_error(matrix, 2, 0)[0], rtol=1e-10)
    assert (np.diagonal(table) == 0).all()


def test_listed_distances_become_a_table():
    steps, table = distance_table([0, 0, 1000], [1000, 3000, 3000], [1.0, 3.0, 2.0])
    assert steps.tolist() == [0, 1000, 3000]
    assert table.tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]
    with pytest.raises(InputError, match="between steps 0 and 1000 is nan"):
        distance_table([0], [1000], [np.nan])


@pytest.mark.parametrize(
    ("labels", "steps", "message"),
    [
        (["a", "a", None], [0, 1, 2], r"1 of 3 points have no trajectory or no step \('z'\)"),
        (["a", "a", "a"], [0, 1, None], "no trajectory or no step"),
        (["a", "a", "a"], [0, 1, 1], r"'a' has step 1 twice \('y' and 'z'\)"),
        (["a", "a", "b"], [0, 1, 1], r"'b' has one checkpoint only \('z'\)"),
    ],
)
def test_what_is_no_trajectory(labels, steps, message):
    with pytest.raises(InputError, match=message):
        trajectories(labels, steps, ["x", "y", "z"])


def one(steps):
    return trajectories(["a"] * len(steps), steps, [f"p{s}" for s in steps])


def test_warm_up_of_pythia_is_the_papers():
    given = one(PYTHIA)
    assert usual_spacing(given) == 1000
    assert default_warm_up(given) == 2000
    missing = one([s for s in PYTHIA if s not in (111_000, 112_000)])
    assert default_warm_up(missing) == 2000


def test_warm_up_waits_for_the_usual_spacing():
    given = one([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(640, 1025, 128)])
    assert usual_spacing(given) == 128
    assert default_warm_up(given) == 128
    assert default_warm_up(one([0, 100, 200, 300])) == 5


def test_names_sort_by_size_and_seed():
    names = ["p-1b", "p-410m", "p-410m-seed10", "p-410m-seed2", "p-1.4b"]
    assert sorted(names, key=natural) == [
        "p-410m",
        "p-410m-seed2",
        "p-410m-seed10",
        "p-1b",
        "p-1.4b",
    ]
