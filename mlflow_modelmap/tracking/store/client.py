"""Tracking: the MLflow store - a client for it, whether it answers, its experiments, its noise."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.words.redact import redact

REACH_SECONDS = 5
"""How long a store may take to accept a connection before it counts as unreachable."""

_QUIET_ENVIRONMENT = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NOISY_LOGGERS = ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent")
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


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
    """
    address = uri or mlflow.get_tracking_uri()
    _check_address(address)
    try:
        return MlflowClient(address)
    except Exception as error:
        raise _unreachable(address, error) from error


def check_reachable(store: MlflowClient | None = None) -> MlflowClient:
    """Ask the store one small question, with no retries; the client comes back.

    Raises
    ------
    TrackingError
        If it does not answer within seconds.
    """
    store = store or client()
    limits = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(4 * REACH_SECONDS))),
    }
    with _environment(limits):
        try:
            store.search_experiments(max_results=1)
        except Exception as error:
            raise _unreachable(store.tracking_uri, error) from error
    return store


def _check_address(address: str) -> None:
    """Refuse at once what MLflow would retry for minutes."""
    parts = urlsplit(address)
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        _check_sqlite(address)
    elif scheme in ("http", "https") or scheme in _DEFAULT_PORTS:
        try:
            port = parts.port
        except ValueError as error:
            raise _unreachable(address, error) from None
        if scheme in ("http", "https") and any(
            os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
        ):
            return
        port = port or _DEFAULT_PORTS.get(scheme) or (443 if scheme == "https" else 80)
        if parts.hostname:
            try:
                socket.create_connection((parts.hostname, port), timeout=REACH_SECONDS).close()
            except OSError as error:
                raise _unreachable(address, error) from error


def _check_sqlite(address: str) -> None:
    name = address.partition("///")[2].partition("?")[0]
    if not name or name == ":memory:":
        return
    path = Path(name)
    if path.is_dir():
        raise TrackingError(
            f"The tracking store {address!r} is a directory; name a database file in it, such as "
            f"sqlite:///{path / 'mlflow.db'}."
        )
    if path.exists():
        try:
            with path.open("rb") as file:
                head = file.read(16)
        except OSError as error:
            raise _unreachable(address, error) from None
        if head and not head.startswith(b"SQLite format 3"):
            raise TrackingError(
                f"The tracking store {address!r} is not a sqlite database; name another file."
            )
        return
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise TrackingError(
            f"The tracking store {address!r} cannot be made, because {str(there)!r} is not a "
            "directory that can be written; choose another --tracking-uri."
        )


def _unreachable(address: str, error: BaseException) -> TrackingError:
    return TrackingError(
        f"The MLflow tracking store {redact(address)!r} cannot be used ({_reason(error)}); start "
        "it, or set --tracking-uri or MLFLOW_TRACKING_URI to one that answers."
    )


def _reason(error: BaseException) -> str:
    """What an error comes down to, short and without passwords."""
    cause: BaseException | None = error
    while cause is not None:
        if "timeout" in type(cause).__name__.lower():
            return "it did not answer in time"
        cause = cause.__cause__ or cause.__context__
    reason = redact(" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return reason if len(reason) <= 300 else f"{reason[:300]} ..."


def experiment_id(name: str | None = None, store: MlflowClient | None = None) -> str:
    """The id of an experiment, made if it is not there; without a name, the current one.

    The current one is what `mlflow.set_experiment`, ``MLFLOW_EXPERIMENT_NAME`` or
    ``MLFLOW_EXPERIMENT_ID`` says, else MLflow's default experiment.

    Raises
    ------
    TrackingError
        If it was deleted, or an id in the environment leads nowhere.
    """
    store = store or client()
    if not name:
        return _current_experiment_id()
    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return store.create_experiment(name)
        except MlflowException:
            found = store.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"The experiment {name!r} was deleted; restore it with `mlflow experiments restore -x "
            f"{found.experiment_id}`, or choose another name."
        )
    return found.experiment_id


def _current_experiment_id() -> str:
    from mlflow.tracking import fluent

    try:
        return fluent._get_experiment_id() or "0"
    except MlflowException as error:
        raise TrackingError(f"The current experiment cannot be found: {error.message}") from error


def find_experiments(names: tuple[str, ...], store: MlflowClient) -> list[Experiment]:
    """Existing experiments by name (or id); all active ones where no name is given.

    Raises
    ------
    InputError
        If one is not there; it lists those that are.
    """
    if not names:
        page = store.search_experiments(view_type=ViewType.ACTIVE_ONLY, max_results=1000)
        every = list(page)
        while page.token:
            page = store.search_experiments(
                view_type=ViewType.ACTIVE_ONLY, max_results=1000, page_token=page.token
            )
            every += page
        return every
    found = []
    for name in names:
        experiment = store.get_experiment_by_name(name)
        if experiment is None and name.isdecimal():
            with contextlib.suppress(MlflowException):
                experiment = store.get_experiment(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            there = [e.name for e in store.search_experiments(max_results=20)]
            raise InputError(
                f"There is no experiment {name!r} in {redact(store.tracking_uri)!r}; there are "
                f"{', '.join(map(repr, there)) or 'none yet'}."
            )
        found.append(experiment)
    return found


@contextlib.contextmanager
def briefly() -> Iterator[None]:
    """Give a store that does not answer half a minute, where MLflow would retry for many."""
    with _environment(
        {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
    ):
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's bar per artifact, its "View run" lines and its database migrations."""
    levels = {name: logging.getLogger(name).level for name in _NOISY_LOGGERS}
    with _environment(_QUIET_ENVIRONMENT):
        for name in levels:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def now() -> int:
    """Milliseconds since the epoch, as MLflow stamps metrics."""
    return int(time.time() * 1000)
