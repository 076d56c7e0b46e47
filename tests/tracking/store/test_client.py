"""A client of a store that answers, and of one that does not."""

from __future__ import annotations

import os
import socket
import time

import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.store import client as tracking_store


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


def test_a_file_store_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(TrackingError, match="cannot be used") as caught:
        tracking_store.client(str(tmp_path / "mlruns"))
    assert "\n" not in str(caught.value)
