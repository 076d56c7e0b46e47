"""Tracking: a database that is new is made by one process at a time, and never left half-made.

MLflow makes the tables of a new database in every process that finds none, and two at once ruin
it. Here the first process holds a lock, and a new sqlite file is made under another name and
appears whole: a process that is killed meanwhile leaves nothing behind that others would take up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import sqlalchemy
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.store.db import utils as mlflow_database
from sqlalchemy.engine import URL, Connection, Engine, make_url

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking.store.database_server import (
    check_answers,
    check_characters,
    engine_of,
    lock_name,
)
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

WAIT_SECONDS = 180
"""How long another process may take to make a database."""
_SETTLED_SECONDS = 4.0
_seen: set[tuple[str, str]] = set()


def ready(address: str) -> None:
    """Make sure that the database behind a tracking or registry URI is whole, if it is one.

    Asked once a process; other addresses are left alone.

    Raises
    ------
    TrackingError
        If another process takes too long to make it, or it was left half-made and cannot be
        completed; it names the file and what to do.
    """
    try:
        url = make_url(address)
        backend = url.get_backend_name()
    except Exception:  # no database: a server, a folder, a scheme of somebody else's
        return
    key = (address, os.getcwd())
    if key in _seen or backend not in ("sqlite", "postgresql", "mysql", "mssql"):
        return
    if backend == "sqlite":
        if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
            _sqlite_ready(address, Path(url.database).absolute())
    else:
        _server_ready(address, url)
    _seen.add(key)


def is_there(address: str) -> bool:
    """Whether something can be in a store: False for a sqlite file that nobody made yet."""
    try:
        url = make_url(address)
    except Exception:
        return True
    in_memory = not url.database or url.database.startswith((":memory:", "file:"))
    return url.get_backend_name() != "sqlite" or in_memory or Path(url.database or "").is_file()


def _sqlite_ready(address: str, path: Path) -> None:
    if path.is_file() and path.stat().st_size and _complete(address):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.making.lock"), timeout=WAIT_SECONDS)
    try:
        with lock:
            if path.exists() or not _made_beside(path):
                _complete_in_place(address, f"{str(path)!r}")
    except Timeout:
        raise TrackingError(
            f"Another process has been making the tracking store {str(path)!r} for "
            f"{WAIT_SECONDS} s; if none does, remove {lock.lock_file!r} and try again."
        ) from None


def _made_beside(path: Path) -> bool:
    """Make a whole new database, which then gets its name; False where another has it by then."""
    for left in path.parent.glob(f".{path.name}.*.making"):
        left.unlink(missing_ok=True)  # of a process that was killed: the lock is ours
    new = path.with_name(f".{path.name}.{os.getpid()}.making")
    try:
        _first_question(f"sqlite:///{new}")
        try:
            os.link(new, path)
        except FileExistsError:
            return False  # MLflow itself, which knows no lock, was faster
        except OSError:  # a file system without links
            if path.exists():
                return False
            os.rename(new, path)
        return True
    finally:
        new.unlink(missing_ok=True)


def _first_question(address: str) -> None:
    """What makes MLflow make tables and its default experiment."""
    store = MlflowClient(address, registry_uri=address)
    store.search_experiments(max_results=1)
    own = getattr(getattr(store, "_tracking_client", None), "store", None)
    engine = getattr(own, "engine", None)
    if address.endswith(".making") and isinstance(engine, Engine):
        engine.dispose()


def _complete_in_place(address: str, shown: str) -> None:
    """Complete a database that is there without all tables, as MLflow would.

    MLflow itself may be making it just now, without a lock: what still changes is waited for.
    """
    before: object = None
    waited = since = time.monotonic()
    while not _complete(address):
        state = _state(address)
        now = time.monotonic()
        if state != before:
            before, since = state, now
        if now - since > _SETTLED_SECONDS or now - waited > WAIT_SECONDS:
            break
        time.sleep(0.2)
    try:
        if not _complete(address):
            with _engine(address) as engine:
                mlflow_database._initialize_tables(engine)
        _first_question(address)
    except Exception as error:
        held = _runs_in(address)
        remedy = (
            f"it holds {held} runs, so restore a copy of it, or keep it and name another store"
            if held
            else "it holds no run, so delete it and try again"
        )
        raise TrackingError(
            f"The tracking store {shown} is half-made, left by a process that was stopped while "
            f"making it ({reason(error)}); {remedy}."
        ) from error


def _server_ready(address: str, url: URL) -> None:
    check_answers(address)
    if _complete(address):
        return
    with _engine(address) as engine, _locked(engine, url):
        shown = redact(address)
        if _state(address) == ():
            check_characters(engine)
            _first_question(address)
        else:
            _complete_in_place(address, f"{shown!r}")


@contextlib.contextmanager
def _locked(engine: Engine, url: URL) -> Iterator[None]:
    """A lock that the database server keeps: it ends with this process, wherever it runs."""
    name = lock_name(url.database)
    number = crc32(name.encode())
    backend = url.get_backend_name()
    take, give = {
        "postgresql": ("SELECT pg_advisory_lock(:number)", "SELECT pg_advisory_unlock(:number)"),
        "mysql": (f"SELECT GET_LOCK(:name, {WAIT_SECONDS})", "SELECT RELEASE_LOCK(:name)"),
        "mssql": (
            "EXEC sp_getapplock @Resource=:name, @LockMode='Exclusive', @LockOwner='Session'",
            "EXEC sp_releaseapplock @Resource=:name, @LockOwner='Session'",
        ),
    }[backend]
    with engine.connect() as connection:
        taken = _say(connection, take, name, number)
        if backend == "mysql" and taken != 1:  # 0 after the time, NULL where it cannot be had
            raise TrackingError(
                f"Another process has been making the tracking store {redact(str(url))!r} for "
                f"{WAIT_SECONDS} s; if none does, try again."
            )
        try:
            yield
        finally:
            # A connection that is gone has given its lock back.
            with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                _say(connection, give, name, number)


def _say(connection: Connection, statement: str, name: str, number: int) -> object:
    values = {"number": number} if ":number" in statement else {"name": name}
    said = connection.execute(sqlalchemy.text(statement), values)
    answer = said.scalar() if said.returns_rows else None
    connection.commit()
    return answer


@contextlib.contextmanager
def _engine(address: str) -> Iterator[Engine]:
    engine = engine_of(address)
    try:
        yield engine
    finally:
        engine.dispose()


def _complete(address: str) -> bool:
    """Whether all of MLflow's tables and a default experiment are there."""
    try:
        with _engine(address) as engine:
            if not mlflow_database._all_tables_exist(engine):
                return False
            with engine.connect() as connection:
                rows = connection.execute(sqlalchemy.text("SELECT 1 FROM experiments"))
                return rows.first() is not None
    except sqlalchemy.exc.SQLAlchemyError:
        return False


def _state(address: str) -> tuple[str, ...]:
    """What a database that is being made looks like now."""
    try:
        with _engine(address) as engine:
            names = tuple(sorted(sqlalchemy.inspect(engine).get_table_names()))
            if "alembic_version" not in names:
                return names
            with engine.connect() as connection:
                found = connection.execute(sqlalchemy.text("SELECT * FROM alembic_version")).all()
                return (*names, str(found))
    except sqlalchemy.exc.SQLAlchemyError as error:
        return (type(error).__name__,)


def _runs_in(address: str) -> int:
    try:
        with _engine(address) as engine, engine.connect() as connection:
            found = connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM runs")).scalar()
            return int(found or 0)
    except (sqlalchemy.exc.SQLAlchemyError, ValueError):
        return 0
