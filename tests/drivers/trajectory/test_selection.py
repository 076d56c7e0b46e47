"""Which points stand on a trajectory, and which weights belong to it."""

from __future__ import annotations

import pandas as pd
import pytest

from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.study_run import write_study
from tests.drivers.trajectory.trainings import few


def test_copies_in_another_precision_are_a_trajectory_of_their_own(store):
    few(store, steps=range(0, 5000, 1000), precision="float32")
    few(store, steps=(3000, 4000), precision="int8", seed=1)
    few(store, name="b", steps=(3000,), precision="int8", seed=1)
    study = trajectory(["test"], splits=1, figures=False)
    assert sorted(set(study.kl_previous["trajectory"])) == ["a", "a (int8)"]
    assert any(
        "single checkpoints" in notice and "'b at 3000" in notice for notice in study.notices
    )


def test_runs_without_trajectory_or_step_are_named(store):
    few(store, trajectory=None)
    with pytest.raises(InputError, match="None of the 4 selected runs has both a trajectory and"):
        trajectory(["test"])
    few(store, name="b", steps=(0, 1000), seed=1)
    study = trajectory(["test"], splits=1, figures=False)
    assert any(notice.startswith("Left out 4 runs without") for notice in study.notices)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (("other", 4.0), "The weights run holds the trajectories 'other', none of those selected"),
        (("a", 0.0), "The weights of the trajectory 'a' do not move"),
    ],
)
def test_weights_of_something_else_are_refused(store, table, message):
    few(store)
    name, squared = table
    frame = pd.DataFrame(
        {"trajectory": name, "step_from": [0], "step": [1000], "squared_distance": squared}
    )
    weights = write_study("weights", tables={"weight_distances": frame}, experiment="test")
    with pytest.raises(InputError, match=message):
        trajectory(["test"], weights_run=weights)
