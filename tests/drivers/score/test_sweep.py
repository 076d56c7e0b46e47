"""A sweep: one run a model under a parent, failures collected, gone on with after a kill."""

from __future__ import annotations

import shutil
import signal
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.drivers.score import score_into
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.write import write_texts
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking


@pytest.fixture
def family(tiny_models):
    """Three models with one tokenizer."""
    return [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]


@pytest.fixture(params=[True, False], ids=["one by one", "all at once"])
def looked_for(request, monkeypatch):
    """However scores that are there are looked for."""
    monkeypatch.setattr("mlflow_modelmap.drivers.score.sweep.FEW", 20 if request.param else 0)


def states(done):
    return [row.state for row in done.rows]


def test_every_model_is_a_run_under_one_parent(store, family, texts, all_runs):
    done = sweep({"models": family, "name": "family"}, texts=texts, progress=False)
    assert states(done) == ["scored"] * 3
    parent, *children = all_runs()
    assert parent.info.run_id == done.run_id
    assert (parent.info.run_name, parent.info.status) == ("family", "FINISHED")
    assert parent.data.tags["modelmap.kind"] == "sweep"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {done.run_id}
    for tag in ("mlflow.user", "mlflow.source.name", "mlflow.source.type"):
        assert {run.data.tags[tag] for run in children} == {parent.data.tags[tag]}
    assert parent.data.metrics == {
        "modelmap/scored": 3,
        "modelmap/skipped": 0,
        "modelmap/failed": 0,
    }
    matrix, _ = read_matrix(select_runs(run_ids=[done.run_id]))
    one = score(family[1], texts, progress=False)
    assert one.skipped
    assert np.array_equal(matrix.values[1], one.log_likelihoods)


def test_the_parent_keeps_the_plan_and_what_became_of_it(store, family, text_file):
    plan = text_file.parent / "plan.yaml"
    written = f"texts: {text_file.name}  # beside the plan\nmodels:\n- {family[0]}\n- {family[1]}\n"
    plan.write_text(written)
    score(family[0], text_file, progress=False)
    done = sweep(plan, progress=False)
    assert states(done) == ["skipped", "scored"]
    root = local_path(mlflow.get_run(done.run_id).info.artifact_uri) / "modelmap"
    assert (root / "plan.yaml").read_text() == written
    table = pd.read_csv(root / "runs.csv")
    assert table["state"].tolist() == ["skipped", "scored"]
    assert table["run_id"].tolist() == [row.run_id for row in done.rows]
    assert [r.run_id for r in select_runs(run_ids=[done.run_id])] == table["run_id"].tolist()


def test_texts_are_tokenised_once_for_a_tokenizer(store, tiny_models, family, texts, monkeypatch):
    from mlflow_modelmap.scoring.tokenizer import tokenize as room

    calls = []
    real = room.tokenize
    monkeypatch.setattr(room, "tokenize", lambda *a, **k: calls.append(a[0]) or real(*a, **k))
    with_bos = str(tiny_models("gpt_neox", seed=0, bos=True))
    sweep({"models": [*family, with_bos]}, texts=texts, progress=False)
    assert calls == [family[0], with_bos]


def test_one_failed_model_stops_no_other(store, tiny_models, family, texts, tmp_path, all_runs):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = str(tiny_models("gpt_neox", seed=5, scale=1e30))
    done = sweep({"models": [str(empty), broken, family[0]]}, texts=texts, progress=False)
    assert states(done) == ["failed", "failed", "scored"]
    assert "config.json" in done.rows[0].error
    assert "not finite" in done.rows[1].error
    runs = {run.info.run_name: run for run in all_runs()}
    parent = runs.pop("sweep")
    assert parent.info.status == "FAILED"
    assert parent.data.tags["modelmap.error"].startswith("2 of 3 models failed")
    assert sorted(run.info.status for run in runs.values()) == ["FAILED", "FINISHED"]
    assert len(select_runs(run_ids=[done.run_id])) == 1


@pytest.mark.usefixtures("looked_for")
def test_a_name_that_another_model_has_fails_alone(store, family, texts, all_runs):
    score(family[0], texts, name="mine", progress=False)
    plan = {"models": [{"model": family[1], "name": "mine"}, family[2]]}
    done = sweep(plan, texts=texts, progress=False)
    assert states(done) == ["failed", "scored"]
    assert "The name 'mine' belongs to another model" in done.rows[0].error
    assert [run.info.run_name for run in all_runs()].count("mine") == 1


def test_again_makes_no_run_where_nothing_is_missing(store, family, texts, all_runs):
    first = sweep({"models": family}, texts=texts, progress=False)
    count = len(all_runs())
    second = sweep({"models": family}, texts=texts, progress=False)
    assert states(second) == ["skipped"] * 3
    assert [row.run_id for row in second.rows] == [row.run_id for row in first.rows]
    assert second.run_id is None
    assert len(all_runs()) == count
    third = sweep({"models": family[:1]}, texts=texts, again=True, progress=False)
    assert states(third) == ["scored"]


def test_a_dry_run_touches_nothing(store, family, texts, all_runs, monkeypatch):
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    plan = {"models": [{"model": family[0], "precisions": ["auto", "int8"]}, "org/not-there"]}
    done = sweep(plan, texts=texts, dry_run=True)
    assert [(row.state, row.precision) for row in done.rows] == [
        ("planned", "auto"),
        ("planned", "int8"),
        ("planned", "auto"),
    ]
    assert done.run_id is None
    assert all_runs() == []


def test_under_a_project_its_run_is_the_parent_whatever_the_plan_says(
    store, family, texts, monkeypatch, all_runs
):
    project = mlflow.MlflowClient(store).create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project)
    done = sweep({"models": family[:1], "experiment": "mine"}, texts=texts, progress=False)
    assert done.run_id == project
    assert {run.info.experiment_id for run in all_runs()} == {"0"}
    assert mlflow.get_run(project).data.tags["modelmap.kind"] == "sweep"


def test_inside_an_active_run_the_sweep_is_its_child(store, family, texts):
    with mlflow.start_run() as outer:
        done = sweep({"models": family[:1]}, texts=texts, progress=False)
    assert mlflow.get_run(done.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id
    child = mlflow.get_run(done.rows[0].run_id)
    assert child.data.tags["mlflow.parentRunId"] == done.run_id


def test_ctrl_c_ends_model_and_sweep_as_killed(store, family, texts, monkeypatch, all_runs):
    from mlflow_modelmap.scoring.engine import score_texts as room

    real, calls = room.score_texts, []

    def second_is_stopped(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    monkeypatch.setattr(room, "score_texts", second_is_stopped)
    with pytest.raises(KeyboardInterrupt):
        sweep({"models": family}, texts=texts, progress=False)
    assert [run.info.status for run in all_runs()] == ["KILLED", "FINISHED", "KILLED"]
    parent = all_runs()[0].info.run_id
    assert len(select_runs(run_ids=[parent])) == 1


def test_a_store_that_is_gone_ends_the_sweep(store, family, texts, monkeypatch, tmp_path):
    def dies(*_, **__):
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        raise OSError("connection reset")

    def gone(*_, **__):
        raise TrackingError("The store does not answer.")

    monkeypatch.setattr(score_into, "log_score", dies)
    monkeypatch.setattr("mlflow_modelmap.drivers.score.sweep_work.check_reachable", gone)
    with pytest.raises(TrackingError, match="does not answer"):
        sweep({"models": family}, texts=texts, progress=False)
    assert len(list((tmp_path / "spool").glob("*.parquet"))) == 1


def test_artifacts_that_are_taken_no_more_end_the_sweep_at_the_first(
    store, family, texts, monkeypatch, tmp_path, capsys
):
    real, done = score_into.log_score, []

    def full(run, *more, **named):
        if done:
            shutil.rmtree(tmp_path / "artifacts")
            (tmp_path / "artifacts").write_text("a disk that takes nothing more")
        done.append(run.name)
        return real(run, *more, **named)

    monkeypatch.setattr(score_into, "log_score", full)
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"models": family, "texts": str(tmp_path / "texts.jsonl")}))
    write_texts(texts, tmp_path / "texts.jsonl")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(plan)])
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert len(done) == 2 < len(family)
    assert done[0] in told.out.splitlines()[1]
    assert "scored" in told.out.splitlines()[1]
    (error,) = [line for line in told.err.splitlines() if line.startswith("Error")]
    assert "its vector is kept in" in error
    assert error.endswith("the sweep ends here, as nothing more can be logged.")


def test_a_plan_without_texts_is_refused(store, family):
    with pytest.raises(InputError, match="which texts"):
        sweep({"models": family})


KILLED_AT_THE_SECOND = """
import os, signal, sys
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.scoring.engine import score_texts as room
real, calls = room.score_texts, []
def stop(*a, **k):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
room.score_texts = stop
sweep(sys.argv[1], progress=False)
"""


@pytest.mark.slow
def test_a_sweep_killed_half_way_goes_on_with_what_is_missing(store, family, text_file, all_runs):
    plan = text_file.parent / "plan.yaml"
    plan.write_text(f"texts: {text_file.name}\nmodels: [{', '.join(family)}]\nexperiment: e\n")
    done = forking.run("-c", KILLED_AT_THE_SECOND, plan)
    assert done.returncode == -signal.SIGKILL
    assert [run.info.status for run in all_runs()] == ["RUNNING", "FINISHED", "RUNNING"]
    orphan = all_runs()[2].info.run_id
    rest = sweep(plan, progress=False)
    assert states(rest) == ["skipped", "scored", "scored"]
    assert orphan not in [row.run_id for row in rest.rows]
    notices: list[str] = []
    assert len(select_runs(["e"], notices=notices)) == 3
    assert notices == ["Left out 1 unfinished run: 1 killed."]


@pytest.mark.slow
def test_sigterm_ends_the_runs_as_killed(store, family, text_file, all_runs):
    plan = text_file.parent / "plan.yaml"
    many = [f"{{model: {family[0]}, name: m{i}}}" for i in range(300)]
    plan.write_text(f"texts: {text_file.name}\nmodels: [{', '.join(many)}]\n")
    process = forking.Process("-m", "mlflow_modelmap", "sweep", plan)
    while sum(run.info.status == "FINISHED" for run in all_runs()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 143
    ended = {run.info.status for run in all_runs()}
    assert ended <= {"FINISHED", "KILLED"}
    assert all_runs()[0].info.status == "KILLED"
