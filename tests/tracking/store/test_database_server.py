"""What keeps a database server from holding a store is said with its remedy."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.store import database_server
from mlflow_modelmap.tracking.store.database_server import check_answers, lock_name


@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [
        ("mysql", "MySQLdb", "PyMySQL"),
        ("mysql+pymysql", "pymysql", "PyMySQL"),
        ("postgresql+psycopg2", "psycopg2", "psycopg2-binary"),
    ],
)
def test_a_driver_that_is_missing_is_named(monkeypatch, scheme, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrackingError, match=rf"{module}.*; install it, or install {package}") as no:
        check_answers(f"{scheme}://me:secret@127.0.0.1/runs")
    assert "secret" not in str(no.value)


def test_a_server_without_a_database_is_told_where_its_name_goes():
    with pytest.raises(TrackingError, match=r"no database; .*'mysql\+pymysql://127.0.0.1/mlflow'"):
        check_answers("mysql+pymysql://me:secret@127.0.0.1")


@pytest.mark.parametrize(
    ("address", "said", "remedy"),
    [
        ("mysql+pymysql", "Unknown database 'x'", "CREATE DATABASE x CHARACTER SET utf8mb4, or"),
        ("postgresql", 'FATAL: database "x" does not exist', "CREATE DATABASE x, or name another"),
        ("mysql+pymysql", "Access denied for user 'me'@'here'", "see whether user, password"),
    ],
)
def test_what_a_server_refuses_is_said_with_its_remedy(monkeypatch, address, said, remedy):
    class Refusing:
        def connect(self):
            raise sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(said))

        def dispose(self):
            pass

    monkeypatch.setattr(database_server, "engine_of", lambda address: Refusing())
    with pytest.raises(TrackingError) as caught:
        check_answers(f"{address}://me:secret@127.0.0.1/x")
    told = str(caught.value)
    assert f"answers {said} and does not open the tracking store" in told
    assert "127.0.0.1/x" in told
    assert remedy in told
    assert "secret" not in told
    assert "SELECT" not in told


def test_the_lock_of_a_database_has_a_name_of_its_own_that_mysql_takes():
    """64 characters of a lock's name, and as many of a database's."""
    names = {lock_name("n" * 63 + end) for end in "ab"} | {lock_name("n")}
    assert len(names) == 3
    assert max(map(len, names)) <= 64
