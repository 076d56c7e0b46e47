"""Which runs may be read: one answer for selections, for loading and for the page."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.tracking.runs.find_score import scores_with
from mlflow_modelmap.tracking.runs.monitor_run import open_monitor_run
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.study_run import load_study, write_study
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset

NEWER = r"written by a newer mlflow-modelmap \(schema {}; this one reads 1\); upgrade\."


def later(store, run_id, schema):
    mlflow.MlflowClient(store).set_tag(run_id, "modelmap.schema", schema)
    return run_id


@pytest.mark.parametrize(("schema", "shown"), [("2", "2"), ("1.5\nx", r"1\.5 x"), ("", "empty")])
def test_a_run_of_a_later_schema_is_refused_by_name_and_left_out_of_a_search(
    write_run, store, schema, shown
):
    write_run("known")
    newer = later(store, write_run("newer", identity="i"), schema)
    notices: list[str] = []
    assert [run.name for run in select_runs(["test"], notices=notices)] == ["known"]
    (notice,) = notices
    assert notice.startswith("Left out 1 run that was written by a newer mlflow-modelmap (schema ")
    with pytest.raises(InputError, match=rf"Run {newer} \('newer'\) was " + NEWER.format(shown)):
        select_runs(run_ids=[newer])
    where = mlflow.get_experiment_by_name("test").experiment_id
    client = mlflow.MlflowClient(store)
    assert scores_with(["i"], [where], client) == []
    later(store, newer, "1")
    assert [run.run_id for run in scores_with(["i"], [where], client)] == [newer]


def test_runs_of_later_schemas_are_counted_apart_from_unfinished_ones(write_run, store):
    write_run("known")
    for schema in ("2", "3", "2"):
        later(store, write_run("newer"), schema)
    later(store, write_run("newer and failed", status="FAILED"), "2")
    notices: list[str] = []
    select_runs(["test"], notices=notices)
    assert notices == [
        "Left out 1 unfinished run: 1 failed.",
        "Left out 3 runs that were written by a newer mlflow-modelmap (schema 2, 3; this one "
        "reads 1); upgrade.",
    ]


def test_a_sweep_leaves_out_its_unfinished_and_later_runs_and_says_so(write_run, store):
    client = mlflow.MlflowClient(store)
    sweep = write_run("sweep", kind="sweep", artifact=False, status="KILLED")
    for name, status in (("good", "FINISHED"), ("newer", "FINISHED"), ("half", "RUNNING")):
        child = write_run(name, status=status)
        client.set_tag(child, "mlflow.parentRunId", sweep)
        if name == "newer":
            later(store, child, "2")
    notices: list[str] = []
    assert [run.name for run in select_runs(run_ids=[sweep], notices=notices)] == ["good"]
    assert notices[0] == "Left out 1 unfinished run: 1 running."
    assert notices[1].startswith("Left out 1 run that was written by a newer")
    later(store, sweep, "2")
    with pytest.raises(InputError, match=NEWER.format(2)):
        select_runs(run_ids=[sweep])
    later(store, sweep, "1")
    client.delete_run(sweep)
    with pytest.raises(InputError, match="was deleted"):
        select_runs(run_ids=[sweep])


def test_what_is_deleted_or_of_a_later_schema_is_not_loaded(store):
    run_id = later(store, write_study("map", experiment="test"), "2")
    with pytest.raises(InputError, match=rf"Run {run_id} \(.*\) was " + NEWER.format(2)):
        load_study(run_id, "map")
    later(store, run_id, "1")
    assert load_study(run_id, "map").kind == "map"
    mlflow.MlflowClient(store).delete_run(run_id)
    with pytest.raises(InputError, match=f"runs restore --run-id {run_id}"):
        load_study(run_id, "map")


def test_a_training_recorded_by_a_newer_version_is_not_taken_up(store, texts):
    client = mlflow.MlflowClient(store)
    run_id = open_monitor_run(client, TextSetDataset(texts)).run.run_id
    assert is_readable(client.get_run(run_id))
    later(store, run_id, "2")
    assert not is_readable(client.get_run(run_id))
    with pytest.raises(InputError, match=NEWER.format(2)):
        open_monitor_run(client, TextSetDataset(texts), run_id=run_id)


def test_a_run_of_somebody_else_is_none_of_ours(store):
    with mlflow.start_run() as run:
        pass
    with pytest.raises(InputError, match="is no run of mlflow-modelmap"):
        load_study(run.info.run_id)
