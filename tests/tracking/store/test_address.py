"""Addresses that cannot work are said in seconds."""

from __future__ import annotations

import socket
import time

import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.store.address import check_address


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_not_there_is_said_at_once_without_its_password(scheme):
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"cannot be used.*--tracking-uri") as caught:
        check_address(f"{scheme}://me:secret@127.0.0.1:{free_port()}/x")
    assert time.monotonic() - started < 5
    assert "secret" not in str(caught.value)


def test_sqlite_addresses_that_cannot_work_are_said(tmp_path):
    with pytest.raises(TrackingError, match="is a directory; name a database file"):
        check_address(f"sqlite:///{tmp_path}")
    (tmp_path / "x.db").write_text("not a database, only text")
    with pytest.raises(TrackingError, match="is not a sqlite database"):
        check_address(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(TrackingError, match="cannot be made"):
        check_address(f"sqlite:///{tmp_path / 'x.db' / 'below.db'}")


def test_mariadb_goes_by_the_name_of_mysql():
    with pytest.raises(
        TrackingError, match=r"by the name of MySQL; .*127.0.0.1.*pymysql"
    ) as caught:
        check_address("mariadb+pymysql://me:secret@127.0.0.1/x")
    assert "secret" not in str(caught.value)
