"""Selecting score runs: by experiment, filter and id; what is left out, and what is refused."""

from __future__ import annotations

import mlflow
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.tracking.runs.select_runs import select_runs


def test_the_finished_runs_of_an_experiment_come_oldest_first_with_what_their_tags_say(write_run):
    write_run("b", trajectory="run b", step="512", precision="int8", model_type="gpt_neox")
    write_run("a", revision="main", commit="abc", base_model="b", text_set_name="some texts")
    runs = select_runs(["test"])
    assert [run.name for run in runs] == ["b", "a"]
    assert (runs[0].trajectory, runs[0].step, runs[0].precision) == ("run b", 512, "int8")
    assert runs[0].model_type == "gpt_neox"
    assert (runs[1].revision, runs[1].commit, runs[1].base_model) == ("main", "abc", "b")
    assert runs[1].text_set_name == "some texts"
    assert runs[1].step is None
    assert runs[1].trajectory is None


def test_a_filter_narrows_and_alone_searches_every_experiment(write_run):
    write_run("here", trajectory="x")
    write_run("other")
    write_run("there", trajectory="x", experiment="second")
    only = "tags.`modelmap.trajectory` = 'x'"
    assert [run.name for run in select_runs(["test"], only)] == ["here"]
    assert {run.name for run in select_runs(filter=only)} == {"here", "there"}
    assert len(select_runs(["test", "second"])) == 3


def test_failed_and_running_runs_are_left_out_and_counted(write_run):
    write_run("good")
    write_run("bad", status="FAILED")
    write_run("half", status="RUNNING")
    write_run("failed, but ended well by its owner", error="the store went away")
    notices: list[str] = []
    assert [run.name for run in select_runs(["test"], notices=notices)] == ["good"]
    assert notices == ["Left out 3 unfinished runs: 2 failed, 1 running."]


@pytest.mark.parametrize(("status", "said"), [("FAILED", "failed"), ("RUNNING", "running")])
def test_an_unfinished_run_that_is_named_is_refused_with_its_reason(write_run, status, said):
    bad = write_run("bad", status=status, error="Out of memory.")
    with pytest.raises(InputError, match=rf"{bad} \('bad'\) is failed \(Out of memory\)"):
        select_runs(run_ids=[bad])
    unsaid = write_run("worse", status=status)
    with pytest.raises(InputError, match=f"{unsaid} .* is {said}, not finished"):
        select_runs(run_ids=[unsaid])


def test_a_deleted_run_that_is_named_is_refused(write_run, store):
    gone = write_run("gone")
    mlflow.MlflowClient(store).delete_run(gone)
    with pytest.raises(InputError, match="was deleted"):
        select_runs(run_ids=[gone])


def test_of_runs_with_one_identity_the_latest_is_kept(write_run):
    write_run("old", identity="i1")
    new = write_run("new", identity="i1")
    write_run("else", identity="i2")
    write_run("unsaid")
    write_run("unsaid too")
    notices: list[str] = []
    runs = select_runs(["test"], notices=notices)
    assert new in [run.run_id for run in runs]
    assert [run.name for run in runs] == ["new", "else", "unsaid", "unsaid too"]
    assert notices == ["1 run repeats another's score; the latest of each was kept."]


def test_runs_named_one_by_one_are_all_kept_even_with_one_identity(write_run):
    old, new = write_run("old", identity="i1"), write_run("new", identity="i1")
    assert [run.run_id for run in select_runs(run_ids=[new, old, new])] == [old, new]
    assert [run.run_id for run in select_runs(["test"], run_ids=[old])] == [old]


def test_names_become_unique_by_what_differs(write_run):
    write_run("m", revision="step1", precision="float32")
    write_run("m", revision="step2", precision="float32")
    write_run("n", precision="float32")
    write_run("n", precision="int8")
    first = write_run("o")
    write_run("o")
    write_run("point")
    names = [run.name for run in select_runs(["test"])]
    assert names[:4] == ["m (step1)", "m (step2)", "n (float32)", "n (int8)"]
    assert names[4] == f"o ({first[:8]})"
    assert len(set(names)) == 7
    assert "point" not in names


def test_a_sweep_stands_for_its_runs_and_a_skipped_run_for_the_one_it_found(
    write_run, store, tmp_path
):
    sweep = write_run("sweep", kind="sweep", artifact=False)
    child = write_run("child")
    other = write_run("other")
    client = mlflow.MlflowClient(store)
    client.set_tag(child, "mlflow.parentRunId", sweep)
    pd.DataFrame({"run_id": [child, other], "state": ["scored", "skipped"]}).to_parquet(
        tmp_path / "runs.parquet"
    )
    client.log_artifact(sweep, str(tmp_path / "runs.parquet"), "modelmap")
    assert [run.run_id for run in select_runs(run_ids=[sweep])] == [child, other]
    skipped = write_run("skipped", kind="skipped", artifact=False, same_as=child)
    assert [run.run_id for run in select_runs(run_ids=[skipped])] == [child]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"experiments": ["tset"]}, "no experiment 'tset'.*'test'"),
        ({"experiments": ["test"]}, "No finished run of kind 'score'.*1 failed"),
        ({"run_ids": ["0" * 32]}, "There is no run '0000"),
        ({"experiments": ["test"], "filter": "tags.x = "}, "cannot search with the filter"),
        ({"experiments": ["test"], "filter": "tags.x = 'y'"}, "matches"),
    ],
)
def test_what_cannot_be_selected_is_said_in_one_sentence(write_run, asked, said):
    write_run("bad", status="FAILED")
    with pytest.raises(InputError, match=said):
        select_runs(**asked)


def test_a_run_of_another_kind_is_refused(write_run):
    with pytest.raises(InputError, match="is of kind 'map', not 'score'"):
        select_runs(run_ids=[write_run("m", kind="map", artifact=False)])
    with mlflow.start_run() as run:
        pass
    with pytest.raises(InputError, match="is no run of mlflow-modelmap"):
        select_runs(run_ids=[run.info.run_id])


def test_a_step_that_is_no_number_names_the_run(write_run):
    run_id = write_run("m", step="latest")
    with pytest.raises(TrackingError, match=f"{run_id} has the step 'latest'"):
        select_runs(run_ids=[run_id])
    write_run("good")
    notices: list[str] = []
    assert [run.name for run in select_runs(["test"], notices=notices)] == ["good"]
    assert run_id in notices[0]
