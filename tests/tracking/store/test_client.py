"""The store: found unreachable in seconds, experiments by name, quiet."""

from __future__ import annotations

import os
import socket
import time

import mlflow
import pytest

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.tracking.store.client import client as tracking_store


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_not_there_is_said_at_once_without_its_password(scheme):
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"cannot be used.*--tracking-uri") as caught:
        tracking_store.client(f"{scheme}://me:secret@127.0.0.1:{free_port()}/x")
    assert time.monotonic() - started < 5
    assert "secret" not in str(caught.value)


def test_a_server_that_accepts_and_hangs_is_said_within_the_limit(monkeypatch):
    monkeypatch.setattr(tracking_store, "REACH_SECONDS", 0.3)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = tracking_store.client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(TrackingError, match="it did not answer in time"):
            tracking_store.check_reachable(client)
        assert time.monotonic() - started < 10
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_store_that_answers_is_reachable(store):
    assert tracking_store.check_reachable().tracking_uri == store


def test_sqlite_addresses_that_cannot_work_are_said(tmp_path):
    with pytest.raises(TrackingError, match="is a directory; name a database file"):
        tracking_store.client(f"sqlite:///{tmp_path}")
    (tmp_path / "x.db").write_text("not a database, only text")
    with pytest.raises(TrackingError, match="is not a sqlite database"):
        tracking_store.client(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(TrackingError, match="cannot be made"):
        tracking_store.client(f"sqlite:///{tmp_path / 'x.db' / 'below.db'}")


def test_a_file_store_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(TrackingError, match="cannot be used") as caught:
        tracking_store.client(str(tmp_path / "mlruns"))
    assert "\n" not in str(caught.value)


def test_an_experiment_is_made_once(store):
    first = tracking_store.experiment_id("mine")
    assert tracking_store.experiment_id("mine") == first
    assert mlflow.get_experiment_by_name("mine").experiment_id == first


def test_without_a_name_the_current_experiment_is_meant(store, monkeypatch):
    assert tracking_store.experiment_id() == mlflow.get_experiment_by_name("test").experiment_id


def test_an_experiment_id_in_the_environment_counts(store, monkeypatch):
    from mlflow.tracking import fluent

    wanted = tracking_store.experiment_id("wanted")
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", wanted)
    assert tracking_store.experiment_id() == wanted
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "999")
    with pytest.raises(TrackingError, match="999"):
        tracking_store.experiment_id()


def test_a_deleted_experiment_is_not_written_to(store):
    where = tracking_store.experiment_id("gone")
    mlflow.delete_experiment(where)
    with pytest.raises(TrackingError, match=f"'gone' was deleted; restore it .* {where}"):
        tracking_store.experiment_id("gone")


def test_experiments_are_found_by_name_or_id_and_listed_when_missing(store):
    client = tracking_store.client()
    where = tracking_store.experiment_id("mine")
    assert [e.name for e in tracking_store.find_experiments(("mine", where), client)] == [
        "mine",
        "mine",
    ]
    assert {e.name for e in tracking_store.find_experiments((), client)} >= {"mine", "test"}
    with pytest.raises(InputError, match=r"no experiment 'mime'.*'mine'"):
        tracking_store.find_experiments(("mime",), client)


def test_quiet_is_quiet_and_leaves_the_environment_as_it_was(store, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    with tracking_store.quiet():
        client = tracking_store.client(f"sqlite:///{tmp_path / 'new.db'}")
        where = client.create_experiment("e", artifact_location=(tmp_path / "art").as_uri())
        run = client.create_run(where)
        for name in "ab":
            (tmp_path / name).write_text(name)
            client.log_artifact(run.info.run_id, str(tmp_path / name))
        client.set_terminated(run.info.run_id)
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
    assert capfd.readouterr() == ("", "")
