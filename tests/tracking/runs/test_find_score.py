"""Scores that are there already are found by identity, the latest first."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap.tracking.runs.find_score import find_scored, find_scored_anywhere, scored


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(store)


def where(client, name="test"):
    return client.get_experiment_by_name(name).experiment_id


def test_the_latest_of_any_of_the_identities_is_found(write_run, client):
    write_run("old", identity="a", start_time=1)
    new = write_run("new", identity="b", start_time=3)
    write_run("failed", identity="a", start_time=9, status="FAILED")
    write_run("without its vectors", identity="b", start_time=9, artifact=False)
    write_run("else", identity="c", start_time=9)
    assert find_scored(["a", "b"], where(client), client).run_id == new
    assert find_scored({"a"}, where(client), client).name == "old"
    assert find_scored(["d"], where(client), client) is None
    assert find_scored([], where(client), client) is None


def test_in_all_experiments_the_preferred_ones_come_first(write_run, client):
    here = write_run("here", identity="a", start_time=1)
    there = write_run("there", identity="b", start_time=5, experiment="there")
    found = find_scored_anywhere(["a", "b"], [where(client)], client)
    assert found.run_id == here
    assert find_scored_anywhere(["a", "b"], [], client).run_id == there
    assert find_scored_anywhere(["b"], [where(client)], client).run_id == there
    assert find_scored_anywhere(["c"], [], client) is None


def test_all_scores_on_a_text_set_come_by_identity(write_run, client):
    write_run("old", identity="a", start_time=1)
    new = write_run("new", identity="a", start_time=2)
    write_run("other texts", identity="b", digest="b" * 64)
    write_run("without an identity")
    found = scored(where(client), client, text_digest="a" * 64)
    assert {identity: run.run_id for identity, run in found.items()} == {"a": new}
