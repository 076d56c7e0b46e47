"""A damaged checkpoint and an outlying training are found, tagged and left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlflow_modelmap.drivers.trajectory.anomalies import find_anomalies
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.trajectories import trajectories
from tests.drivers.trajectory.trainings import DAMAGED, STEPS


def test_the_damaged_checkpoint_and_the_outlying_seed_are_found_and_tagged(studied):
    study, _, client, ids = studied
    found = study.anomalies[["trajectory", "space", "kind", "step"]].values.tolist()
    assert found == [["big", "q", "checkpoint", DAMAGED]]
    outliers = study.siblings.loc[study.siblings["outlier"], "trajectory"].tolist()
    assert outliers == ["tiny-seed3"]
    tagged = {
        key for key, run_id in ids.items() if "modelmap.anomaly" in client.get_run(run_id).data.tags
    }
    assert tagged == {("big", DAMAGED), *(("tiny-seed3", step) for step in STEPS)}
    why = client.get_run(ids["big", DAMAGED]).data.tags["modelmap.anomaly"]
    assert why.startswith("checkpoint: ")
    assert any("break continuity" in notice for notice in study.notices)


def test_anomalies_can_be_left_out_by_detection(there):
    study = trajectory(
        ["test"], leave_out_anomalies=True, texts=None, splits=1, tag_runs=False, figures=False
    )
    names = set(study.points["point"])
    assert f"big step {DAMAGED}" not in names
    assert not any(name.startswith("tiny-seed3") for name in names)
    said = next(notice for notice in study.notices if notice.startswith("Left out as anomalies"))
    assert f"all {len(STEPS)} checkpoints of tiny-seed3" in said
    assert f"big step {DAMAGED}" in said
    gaps = study.kl_previous[study.kl_previous["trajectory"] == "big"]
    across = gaps[gaps["step"] == DAMAGED + 1000].iloc[0]
    assert across["step_from"] == DAMAGED - 1000
    assert across["kl_per_1000_steps"] == pytest.approx(across["kl"] / 2)
    assert json.loads(json.dumps(study.settings["preprocessing.left_out"]))[0].startswith("tiny")
    assert (study.anomalies["step"] == DAMAGED).any()
    assert study.settings["start"] == 14_000


def test_a_sparse_training_beside_a_dense_one_is_judged_by_its_own_spacing():
    """Every 10,000 steps beside every 1,000: its neighbours lie 10,000 steps off."""
    steps = [*range(0, 60_001, 1000), *range(0, 400_001, 10_000)]
    names = ["dense"] * 61 + ["sparse"] * 41
    random = np.random.default_rng(0)
    values = -100 + np.cumsum(random.normal(0, 1, (len(steps), 200)), axis=0)
    given = trajectories(names, steps, [f"p{k}" for k in range(len(steps))])
    damaged = int(given[1].rows[20])
    values[damaged] += random.normal(0, 20, 200)
    points = tuple(f"p{k}" for k in range(len(steps)))
    matrix = LogLikelihoodMatrix(values, points, np.full(200, 50))
    found = find_anomalies(matrix, given, {}, 0)
    assert found.anomalies[["trajectory", "kind", "step"]].values.tolist() == [
        ["sparse", "checkpoint", 200_000]
    ]
