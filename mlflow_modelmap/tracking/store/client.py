"""Tracking: a client of the MLflow store, and whether the store answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import mlflow
from mlflow import MlflowClient

from mlflow_modelmap.environment import changed_environment
from mlflow_modelmap.tracking.store.address import (
    REACH_SECONDS,
    check_address,
    is_database,
    remember_password,
    unreachable,
)
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.redact import redact


def tracking_uri() -> str:
    """The current tracking URI, without passwords: fit to be shown."""
    return redact(mlflow.get_tracking_uri())


def client(uri: str | None = None) -> MlflowClient:
    """A client of the given or current tracking store.

    Raises
    ------
    TrackingError
        If the store's address cannot work; found in seconds, where MLflow itself would retry for
        minutes.

    Notes
    -----
    A database that is new is made here, by one process at a time.
    """
    # MLflow's telemetry thread may take it out later, in the midst of a request that goes through
    # the environment for proxies, which then fails.
    os.environ.pop("_MLFLOW_TELEMETRY_SESSION_ID", None)
    address = uri or mlflow.get_tracking_uri()
    try:
        registry = mlflow.get_registry_uri()
    except ValueError as error:  # of an address that is none
        raise unreachable(address, error) from None
    for said in (address, registry):
        remember_password(said)
        check_address(said)
        if is_database(said):
            from mlflow_modelmap.tracking.store.first_use import ready

            try:
                with quiet():
                    ready(said)
            except OSError as error:
                raise unreachable(said, error) from None
    try:
        return MlflowClient(address)
    except Exception as error:
        raise unreachable(address, error) from error


def check_reachable(store: MlflowClient | None = None) -> MlflowClient:
    """Ask the store one small question, with no retries; the client comes back.

    Raises
    ------
    TrackingError
        If it does not answer within seconds.
    """
    store = store or client()
    with _patience(retries=0, seconds=max(1, round(4 * REACH_SECONDS))):
        try:
            store.search_experiments(max_results=1)
        except Exception as error:
            raise unreachable(store.tracking_uri, error) from error
    return store


@contextlib.contextmanager
def briefly() -> Iterator[None]:
    """Give a store that does not answer half a minute, where MLflow would retry for many."""
    with _patience(retries=2, seconds=30):
        yield


def hastily() -> contextlib.AbstractContextManager[None]:
    """Give it a few seconds and one try, for what can as well be left out."""
    return _patience(retries=0, seconds=REACH_SECONDS)


def _patience(retries: int, seconds: int) -> contextlib.AbstractContextManager[None]:
    return changed_environment(
        {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        }
    )
