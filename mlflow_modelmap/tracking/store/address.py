"""Tracking: the address of a store - whether it can work, found in seconds and not in minutes."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact, remember

REACH_SECONDS = 5
"""How long a store may take to accept a connection before it counts as unreachable."""
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def is_database(address: str) -> bool:
    """Whether MLflow keeps this store in a database that it asks itself."""
    return _scheme(address) in ("sqlite", *_DEFAULT_PORTS)


def _scheme(address: str) -> str:
    return address.partition("://")[0].partition("+")[0].lower() if "://" in address else ""


def remember_password(address: str) -> None:
    """Take the password of an address out of all that is said from now on."""
    try:
        if is_database(address):
            remember(make_url(address).password)
        else:
            remember(urlsplit(address).password)
            remember(unquote(urlsplit(address).password or ""))
    except Exception:  # an address that is none has no password that could be found
        return


def check_address(address: str) -> None:
    """Refuse at once what MLflow would retry for minutes.

    Raises
    ------
    TrackingError
        If nobody listens at a server's address, or a sqlite file is none or cannot be made.
    """
    scheme = _scheme(address)
    if "\0" in address:
        raise unreachable(address, ValueError("a NUL is in its name"))
    if scheme == "mariadb":
        raise TrackingError(
            f"MLflow knows MariaDB by the name of MySQL; write the tracking store {address!r} with "
            "mysql+pymysql:// in place of its first word."
        )
    if scheme == "sqlite":
        try:
            _check_sqlite(address)
        except OSError as error:  # a name that is too long, a folder that cannot be entered
            raise unreachable(address, error) from None
        return
    if scheme not in ("http", "https", *_DEFAULT_PORTS):
        return
    if any(os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")):
        return
    try:
        host, port = _host_and_port(address)
        port = port or _DEFAULT_PORTS.get(scheme) or (443 if scheme == "https" else 80)
        if host:
            socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except (ValueError, OSError, ArgumentError) as error:
        raise unreachable(address, error) from None


def _host_and_port(address: str) -> tuple[str | None, int | None]:
    if is_database(address):  # whose passwords may hold what ends the host of other addresses
        url = make_url(address)
        return url.host, url.port
    parts = urlsplit(address)
    return parts.hostname, parts.port


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
            raise unreachable(address, error) from None
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


def unreachable(address: str, error: BaseException) -> TrackingError:
    """The sentence for a store that does not answer, or not in time."""
    cause: BaseException | None = error
    while cause is not None and "timeout" not in type(cause).__name__.lower():
        cause = cause.__cause__ or cause.__context__
    why = reason(error) if cause is None else "it did not answer in time"
    return TrackingError(
        f"The MLflow tracking store {redact(address)!r} cannot be used ({why}); start it, or set "
        "--tracking-uri or MLFLOW_TRACKING_URI to one that answers."
    )
