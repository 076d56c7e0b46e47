"""Scores that are there already are found by identity, the latest first."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap.tracking.runs.find_score import scored, scores_with


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(store)


def where(client, name="test"):
    return client.get_experiment_by_name(name).experiment_id


def test_runs_with_any_of_the_identities_are_found_the_latest_first(write_run, client):
    write_run("old", identity="a", start_time=1)
    new = write_run("new", identity="b", start_time=3)
    write_run("failed", identity="a", start_time=9, status="FAILED")
    write_run("without its vectors", identity="b", start_time=9, artifact=False)
    write_run("else", identity="c", start_time=9)
    found = scores_with(["a", "b"], [where(client)], client)
    assert found[0].run_id == new
    assert found[-1].name == "old"
    assert [run.name for run in scores_with({"a"}, [where(client)], client)] == ["old"]
    assert scores_with(["d"], [where(client)], client) == []
    assert scores_with([], [where(client)], client) == []


def test_all_scores_on_a_text_set_come_by_identity(write_run, client):
    write_run("old", identity="a", start_time=1)
    new = write_run("new", identity="a", start_time=2)
    write_run("other texts", identity="b", digest="b" * 64)
    write_run("without an identity")
    found = scored(where(client), client, text_digest="a" * 64)
    assert {identity: runs[0].run_id for identity, runs in found.items()} == {"a": new}


def test_all_scores_of_some_models_come_too(write_run, client):
    one = write_run("one", identity="a", model="it's")
    write_run("two", identity="b", model="org/two")
    found = scored(where(client), client, text_digest="a" * 64, models={"it's", "org/none"})
    assert {identity: runs[0].run_id for identity, runs in found.items()} == {"a": one}
