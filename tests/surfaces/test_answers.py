"""What a reader of the page is told of a store that fails: not where it lies."""

from __future__ import annotations

import pytest
from flask import Flask
from mlflow import MlflowException

from mlflow_modelmap import TrackingError
from mlflow_modelmap.surfaces.server.routes import _answering
from mlflow_modelmap.tracking.store.failures import failed
from mlflow_modelmap.tracking.store.server_store import ServerStore

ADDRESS = "postgresql://me:secret@inner-host:5432/models"


class Down:
    db_uri = ADDRESS

    def search_experiments(self, *_, **__):
        raise MlflowException("could not connect to inner-host, port 5432")


def artifacts():
    raise failed("The artifacts of run 1 cannot be listed", ADDRESS, OSError("s3://inner-host"))


@pytest.mark.parametrize("asked", [artifacts, ServerStore(Down(), str).experiments])
def test_a_store_that_fails_is_said_without_its_address(asked):
    with Flask(__name__).test_request_context():
        response = _answering(asked)()
    assert response.status_code == 500
    assert "its log says more" in response.get_data(as_text=True)
    assert "inner-host" not in response.get_data(as_text=True)


def test_what_is_wrong_with_a_run_is_said():
    def damaged():
        raise TrackingError("Run 1 is damaged; make it again.")

    with Flask(__name__).test_request_context():
        response = _answering(damaged)()
    assert (response.status_code, response.get_json()) == (
        500,
        {"error": "Run 1 is damaged; make it again."},
    )
