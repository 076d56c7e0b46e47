"""Tracking: what keeps a database server from holding a store, found before MLflow retries it."""

from __future__ import annotations

import sqlalchemy
from mlflow.store.db import utils as mlflow_database
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import NoSuchModuleError

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

_DRIVERS = {
    "mysql": ("PyMySQL", "mysql+pymysql"),
    "postgresql": ("psycopg2-binary", "postgresql+psycopg2"),
    "mssql": ("pymssql", "mssql+pymssql"),
}
_NOT_THERE = ("unknown database", "does not exist")
_LOCK_CHARACTERS = 64
"""MySQL takes no longer name of a lock."""


def engine_of(address: str) -> Engine:
    """An engine as MLflow's own, with the certificates and pools of its environment variables."""
    engine: Engine = mlflow_database.create_sqlalchemy_engine(address)
    return engine


def check_answers(address: str) -> None:
    """Ask a database server one question.

    Parameters
    ----------
    address
        Of the scheme ``mysql``, ``postgresql`` or ``mssql``.

    Raises
    ------
    TrackingError
        If its driver is not installed, no database is named or there, or the server refuses us.
    """
    url, shown = make_url(address), redact(address)
    backend = url.get_backend_name()
    if backend == "mysql" and not url.database and not url.query:
        raise TrackingError(
            f"The tracking store {shown!r} names a server and no database; write the name of one "
            f"behind it, as in {shown.rstrip('/') + '/mlflow'!r}."
        )
    try:
        engine = engine_of(address)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except (ImportError, NoSuchModuleError) as error:
        package, scheme = _DRIVERS[backend]
        raise TrackingError(
            f"The driver of the tracking store {shown!r} cannot be loaded ({reason(error)}); "
            f"install it, or install {package} and begin the address with {scheme}://."
        ) from error
    except Exception as error:  # drivers raise what they like, of an unknown option a TypeError
        why = reason(error)
        remedy = "see whether user, password and options are right"
        if any(words in why.lower() for words in _NOT_THERE):
            characters = " CHARACTER SET utf8mb4" if backend == "mysql" else ""
            remedy = f"make it with CREATE DATABASE {url.database}{characters}, or name another"
        raise TrackingError(
            f"The database server answers {why} and does not open the tracking store {shown!r}; "
            f"{remedy}."
        ) from error


def check_characters(engine: Engine) -> None:
    """Whether a MySQL database that has no table yet will take every name.

    Raises
    ------
    TrackingError
        If its character set is another than utf8mb4.
    """
    if engine.dialect.name != "mysql":
        return
    with engine.connect() as connection:
        asked = sqlalchemy.text("SELECT @@character_set_database")
        characters = str(connection.execute(asked).scalar())
    if characters != "utf8mb4":
        raise TrackingError(
            f"The new database {redact(str(engine.url))!r} is of the character set {characters}, "
            "which refuses names and texts in other scripts; change it before tables are made: "
            f"ALTER DATABASE {engine.url.database} CHARACTER SET utf8mb4."
        )


def lock_name(database: str | None) -> str:
    """The name of the lock under which a database is made, as long as MySQL takes it."""
    return f"mlflow-modelmap {database}"[-_LOCK_CHARACTERS:]
