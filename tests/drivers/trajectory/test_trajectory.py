"""A study of trajectories over runs whose answers are known; what is too short, and no study."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.trajectory.study import load_trajectory
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.errors import InputError
from tests.drivers.trajectory.trainings import few, texts


def test_two_checkpoints_are_the_least(store):
    few(store, steps=(0, 512))
    study = trajectory(["test"], splits=1)
    assert study.diffusion.empty
    assert study.summary.empty
    assert any("no diffusion exponent" in notice for notice in study.notices)
    assert load_trajectory(study.run_id).summary.empty


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda s: (few(s), few(s, seed=1)), {}, r"'a' has step 0 twice \("),
        (lambda s: few(s, steps=(7,)), {}, r"No selected trajectory has two checkpoints .*'a'"),
        (
            lambda s: few(s),
            {"window": 9000, "warm_up": 1000},
            "'a' spans 2000 steps from step 1000 on, fewer",
        ),
        (lambda s: few(s), {"start": 1500}, "No trajectory has a checkpoint at step 1500"),
        (lambda s: few(s), {"warm_up": -1}, "The warm-up ends at step -1"),
        (lambda s: few(s), {"warm_up": 3000}, "No two consecutive checkpoints come at or after"),
        (lambda s: few(s), {"leave_out": ["c"]}, "There is no point 'c' to leave out"),
        (lambda s: few(s), {"leave_out": ["a"]}, "Every trajectory was left out"),
        (lambda s: few(s), {"splits": 0}, "0 splits of the texts"),
        (lambda s: few(s), {"perplexity": 0.5}, "A perplexity of 0.5 is not possible"),
        (lambda s: few(s), {"texts": texts()}, r"are not those that were scored \(made-up texts"),
        (
            lambda s: few(s, values=np.full((4, 40), -80.0) + np.arange(4)[:, None]),
            {"clip": None},
            "The trajectory 'a' does not move: its 4 checkpoints",
        ),
        (
            lambda s: (few(s), few(s, name="b", digest="9" * 64)),
            {},
            "These runs were scored on different text sets",
        ),
    ],
)
def test_what_is_no_study_is_said_in_a_sentence(store, make, options, message):
    make(store)
    with pytest.raises(InputError, match=message) as error:
        trajectory(["test"], **options)
    assert str(error.value).count(". ") == 0
    assert not mlflow.MlflowClient().search_runs(
        ["1"], "tags.`modelmap.kind` = 'trajectory' and attributes.status = 'FINISHED'"
    )
