"""A monitored training run stands for its checkpoints wherever score runs are selected."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.tracking.conftest import DIGEST, vector_frame


@pytest.fixture
def write_training(store: str, tmp_path: Path):
    """A training's run with a vector a step, written with MLflow and pandas alone."""
    client = mlflow.MlflowClient(store)

    def write(steps=(0, 10, 20), status="RUNNING", index=None, listed=None) -> str:
        where = client.get_experiment_by_name("test").experiment_id
        tags = {
            "modelmap.kind": "monitor",
            "modelmap.text_set": DIGEST,
            "modelmap.trajectory": "my training",
            "modelmap.checkpoints": str(len(steps)),
        }
        run_id = client.create_run(where, run_name="a-run-7", tags=tags).info.run_id
        for step in steps:
            path = tmp_path / f"step-{step}.parquet"
            vector_frame(np.array([-30.0, -40.0, -50.0]) + step).to_parquet(path)
            client.log_artifact(run_id, str(path), "modelmap/checkpoints")
        rows = pd.DataFrame({"step": listed or steps, "bits_per_byte": 1.0})
        rows = rows if index is None else index
        rows.to_csv(tmp_path / "checkpoints.csv", index=False)
        client.log_artifact(run_id, str(tmp_path / "checkpoints.csv"), "modelmap")
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    return write


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED", "FAILED"])
def test_every_listed_checkpoint_is_a_point_whatever_becomes_of_the_training(
    write_training, write_run, status
):
    training = write_training(status=status)
    single = write_run("single")
    runs = select_runs(["test"])
    assert [run.name for run in runs if run.run_id == training] == [
        "my training step 0",
        "my training step 10",
        "my training step 20",
    ]
    assert {run.name for run in runs if run.run_id == single} == {"single"}
    matrix, points = read_matrix(runs)
    by_name = {p.name: row for p, row in zip(points, matrix.values, strict=True)}
    assert by_name["my training step 20"].tolist() == [-10.0, -20.0, -30.0]
    assert by_name["single"].tolist() == [-30.0, -40.0, -50.0]
    assert [p.step for p in points if p.run_id == training] == [0, 10, 20]


def test_a_training_can_be_named_and_filtered(write_training, write_run):
    training = write_training()
    write_run("single")
    assert len(select_runs(run_ids=[training])) == 3
    by_tag = select_runs(filter="tags.`modelmap.trajectory` = 'my training'")
    assert {run.run_id for run in by_tag} == {training}
    with pytest.raises(InputError, match=f"Run {training} is of kind 'monitor', not 'map'"):
        select_runs(run_ids=[training], kind="map")


def test_what_the_index_does_not_list_is_no_point(write_training):
    training = write_training(listed=(0, 10, 20)[:2], steps=(0, 10))
    assert [run.step for run in select_runs(run_ids=[training])] == [0, 10]


def test_a_deleted_training_is_gone(write_training, write_run, store):
    mlflow.MlflowClient(store).delete_run(write_training())
    write_run("single")
    assert [run.name for run in select_runs(["test"])] == ["single"]


def test_a_damaged_index_or_vector_names_the_run(write_training, store):
    training = write_training(index=pd.DataFrame({"step": [0]}))
    with pytest.raises(TrackingError, match=rf"Run {training} is damaged.*bits_per_byte"):
        select_runs(run_ids=[training])
    training = write_training(steps=(0, 10), listed=(0, 99))
    with pytest.raises(TrackingError, match=r"step-99\.parquet is missing"):
        read_matrix(select_runs(run_ids=[training]))


def test_weights_are_sought_only_where_they_were_saved(write_training, tmp_path):
    from mlflow_modelmap.drivers.weights.checkpoints import from_runs

    saved = [tmp_path / f"checkpoint-{step}" for step in (10, 20)]
    for folder in saved:
        folder.mkdir()
    rows = {"step": [0, 10, 20], "bits_per_byte": 1.0, "model": [None, *map(str, saved)]}
    training = write_training(index=pd.DataFrame(rows))
    notices: list[str] = []
    found, _ = from_runs(select_runs(run_ids=[training]), notices)
    assert [(c.step, c.reference.name) for c in found] == [(10, str(saved[0])), (20, str(saved[1]))]
    assert notices == ["Left out 1 monitored checkpoint whose weights were not saved."]
