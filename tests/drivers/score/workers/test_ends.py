"""However work ends that workers were to do: in one sentence, with no run left open."""

from __future__ import annotations

import errno

import pytest

from mlflow_modelmap import ScoringError
from mlflow_modelmap.drivers.score.claims import Held
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.workers import fan_out, spread
from mlflow_modelmap.drivers.score.workers.local import LocalProcesses
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.tracking.runs.find_score import attempts
from tests.drivers.score.workers.here import Here


@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_a_disk_without_room_for_the_work_ends_the_sweep(
    store, family, texts, monkeypatch, all_runs, log_from
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalProcesses, "_keep", full)
    workers = Workers(count=2, threads=1, log_from=log_from)
    with pytest.raises(ScoringError, match=r"No work can be given .*No space left on device"):
        sweep({"models": family}, texts=texts, workers=workers, progress=False)
    assert {run.info.status for run in all_runs()} == {"FAILED"}


def test_a_run_made_in_vain_for_what_others_score_goes_at_once(
    store, tiny_model, texts, monkeypatch, all_runs
):
    claim, seen = fan_out.claim, []

    def other_was_faster(prepared, run, *more):
        if not seen:
            seen.append(run.run_id)
            run.in_vain = True
            raise Held(run.store.get_run(run.run_id))
        claim(prepared, run, *more)

    def while_it_is_held(run_id, client):
        seen.append([run.info.run_id for run in all_runs()])
        return False

    monkeypatch.setattr(spread, "_engine", lambda *_: Here())
    monkeypatch.setattr(fan_out, "claim", other_was_faster)
    monkeypatch.setattr(fan_out, "still_held", while_it_is_held)
    workers = Workers(on="ray", count=1)
    done = sweep({"models": [str(tiny_model)]}, texts=texts, workers=workers, progress=False)
    vain, open_then = seen
    assert open_then == [done.run_id]
    assert [row.state for row in done.rows] == ["scored"]
    assert done.rows[0].run_id != vain


def test_a_cluster_is_told_what_is_scored_already(store, family, texts, monkeypatch):
    asked = []

    class Listening(Here):
        def give(self, number, need, work):
            asked.append(work.done)
            super().give(number, need, work)

    monkeypatch.setattr(spread, "_engine", lambda *_: Listening())
    first = sweep({"models": family[:1]}, texts=texts, progress=False)
    workers = Workers(on="ray", count=1)
    done = sweep({"models": family[:2]}, texts=texts, workers=workers, progress=False)
    assert [row.state for row in done.rows] == ["skipped", "scored"]
    assert done.rows[0].run_id == first.rows[0].run_id
    assert [len(names) for names in asked] == [1, 1]


def test_no_engine_is_started_for_an_empty_part(store, tiny_model, texts, monkeypatch):
    monkeypatch.setattr(spread, "_engine", None)
    plan, workers = {"models": [str(tiny_model)]}, Workers(count=2)
    done = sweep(plan, texts=texts, shard="2/2", workers=workers, progress=False)
    assert (done.rows, done.run_id) == ((), None)


def test_each_model_costs_the_store_two_searches_and_no_look_at_its_run(
    store, family, texts, monkeypatch
):
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    asked = []
    for name, of in (("search_runs", MlflowClient), ("get_run", SqlAlchemyStore)):
        real = getattr(of, name)
        monkeypatch.setattr(
            of, name, lambda *a, real=real, name=name, **k: asked.append(name) or real(*a, **k)
        )
    counts = []
    for models in (family[:1], family[1:]):
        asked.clear()
        sweep({"models": models}, texts=texts, progress=False)
        counts.append((asked.count("search_runs"), asked.count("get_run")))
    (one, looked), (two, looked_twice) = counts
    assert two - one == 2
    assert looked_twice == looked


def test_runs_of_other_kinds_that_name_the_score_are_none(store, all_runs):
    from mlflow import MlflowClient

    client = MlflowClient()
    where = client.get_experiment_by_name("test").experiment_id
    for kind in ("score", "evaluation"):
        client.create_run(where, tags={"modelmap.kind": kind, "modelmap.identity": "i"})
    found = attempts(["i"], [where], client)
    assert [run.data.tags["modelmap.kind"] for run in found] == ["score"]
