"""A client of a store that answers, and of one that does not."""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import quote_plus

import mlflow
import pytest
from packaging.version import Version

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.store import client as tracking_store
from mlflow_modelmap.words import redact as redaction


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


@pytest.mark.skipif(
    Version(mlflow.__version__) < Version("3.17"), reason="this MLflow has file stores"
)
def test_a_file_store_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(TrackingError, match="cannot be used") as caught:
        tracking_store.client(str(tmp_path / "mlruns"))
    assert "\n" not in str(caught.value)


PASSWORD = "s3cr3t/of#mine?it's"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/db",
        "postgresql://me:s3cr3t%2Fof%23mine%3Fit%27s@127.0.0.1:1/db",
        "http://me:s3cr3t%2Fof%23mine%3Fit%27s@127.0.0.1:1",
    ],
)
def test_a_stores_password_is_said_nowhere(address, monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    with pytest.raises(TrackingError) as caught:
        tracking_store.client(address)
    assert "s3cr3t" not in str(caught.value)
    for text in (PASSWORD, f"password was {PASSWORD}!", f"x{quote_plus(PASSWORD)}y"):
        assert "s3cr3t" not in redaction.redact(text)


def test_a_new_store_is_made_whole_before_its_first_client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = tracking_store.client(f"sqlite:///{tmp_path / 'new.db'}")
    assert (tmp_path / "new.db").exists()
    assert [e.name for e in store.search_experiments()] == ["Default"]


def test_what_telemetry_may_take_out_of_the_environment_is_out_before(store, monkeypatch):
    monkeypatch.setenv("_MLFLOW_TELEMETRY_SESSION_ID", "of a thread that may end")
    tracking_store.client(store)
    assert "_MLFLOW_TELEMETRY_SESSION_ID" not in os.environ
