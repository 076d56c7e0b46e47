"""Experiments by name, by id, the current one, and all of them."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.tracking.store.client import client as client_of
from mlflow_modelmap.tracking.store.experiments import experiment_id, find_experiments


def test_an_experiment_is_made_once(store):
    first = experiment_id("mine")
    assert experiment_id("mine") == first
    assert mlflow.get_experiment_by_name("mine").experiment_id == first


def test_without_a_name_the_current_experiment_is_meant(store, monkeypatch):
    assert experiment_id() == mlflow.get_experiment_by_name("test").experiment_id


def test_an_experiment_id_in_the_environment_counts(store, monkeypatch):
    from mlflow.tracking import fluent

    wanted = experiment_id("wanted")
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", wanted)
    assert experiment_id() == wanted
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "999")
    with pytest.raises(TrackingError, match="999"):
        experiment_id()


def test_a_deleted_experiment_is_not_written_to(store):
    where = experiment_id("gone")
    mlflow.delete_experiment(where)
    with pytest.raises(TrackingError, match=f"'gone' was deleted; restore it .* {where}"):
        experiment_id("gone")


def test_experiments_are_found_by_name_or_id_and_listed_when_missing(store):
    client = client_of()
    where = experiment_id("mine")
    assert [e.name for e in find_experiments(("mine", where), client)] == [
        "mine",
        "mine",
    ]
    assert {e.name for e in find_experiments((), client)} >= {"mine", "test"}
    with pytest.raises(InputError, match=r"no experiment 'mime'.*'mine'"):
        find_experiments(("mime",), client)


def test_an_experiment_that_the_database_takes_for_another_is_not_mixed_with_it(store, monkeypatch):
    """MySQL compares names without case, accents and spaces at their end."""
    client = client_of()
    there = client.get_experiment(client.create_experiment("Team"))
    monkeypatch.setattr(client, "get_experiment_by_name", lambda name: there)
    assert experiment_id("Team", client) == there.experiment_id
    for ask in (lambda: experiment_id("team", client), lambda: find_experiments(["team"], client)):
        with pytest.raises(TrackingError, match="takes the experiment 'team' for 'Team'"):
            ask()


def test_a_name_that_the_store_does_not_take_for_its_length_is_said(store, monkeypatch):
    assert experiment_id("y" * 300) == experiment_id("y" * 300)  # sqlite holds it

    def too_long(*_):
        raise mlflow.MlflowException("(psycopg2.errors.StringDataRightTruncation) value too long")

    monkeypatch.setattr(mlflow.MlflowClient, "create_experiment", too_long)
    with pytest.raises(InputError, match=r"xxx.* has 300 characters, .* give one of 256 at most\."):
        experiment_id("x" * 300)
    with pytest.raises(TrackingError, match="cannot be read"):
        experiment_id("short")
