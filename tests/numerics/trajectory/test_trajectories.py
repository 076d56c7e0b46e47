"""What makes a trajectory: points in order of step."""

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.trajectories import trajectories
from mlflow_modelmap.words.natural_order import natural


def test_points_are_put_in_order_of_step(two):
    _, given = two
    assert [t.name for t in given] == ["a", "b"]
    assert given[0].steps.tolist() == [0, 1000, 4000]
    assert given[0].rows.tolist() == [1, 5, 3]
    assert given[1].rows.tolist() == [2, 4, 0, 6]


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


def test_names_sort_by_size_and_seed():
    names = ["p-1b", "p-410m", "p-410m-seed10", "p-410m-seed2", "p-1.4b"]
    assert sorted(names, key=natural) == [
        "p-410m",
        "p-410m-seed2",
        "p-410m-seed10",
        "p-1b",
        "p-1.4b",
    ]
