"""A real MariaDB server in a folder of its own, on the loopback; one that runs is left alone."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import make_url

from tests.database_server import own_server

USER, PASSWORD = "modelmap", "no-secret"


def _server() -> str | None:
    return shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin") or shutil.which("mariadbd")


def missing() -> str | None:
    """What to install, in a sentence; None where all is there."""
    if _server() is None or shutil.which("mariadb-install-db") is None:
        return "There is no MariaDB (mariadbd) here; install it: apt-get install mariadb-server."
    if importlib.util.find_spec("pymysql") is None:
        return "Python has no PyMySQL here; install it: pip install PyMySQL."
    return None


def version() -> str:
    """As the server says it."""
    said = subprocess.run([f"{_server()}", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split("Ver ")[1].split("-")[0]


@contextlib.contextmanager
def running(*settings: str) -> Iterator[str]:
    """A new server with Debian's defaults; yields the address to which a database's name is added.

    Parameters
    ----------
    settings
        Of the server, such as ``--lower-case-table-names=1``.
    """
    program = _server()
    assert program is not None
    with own_server("MariaDB", ["mysql"]) as own:
        data, first = own.folder / "data", own.folder / "first.sql"
        own.run("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db")
        first.write_text(
            f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1';\n"
        )
        serve = [program, "--no-defaults", f"--datadir={data}", f"--init-file={first}"]
        serve += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        serve += ["--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2"]
        serve += ["--bind-address=127.0.0.1", f"--port={own.port}", "--skip-name-resolve"]
        serve += [f"--socket={own.folder / 'socket'}", f"--pid-file={own.folder / 'pid'}"]
        address = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{own.port}"
        own.start([*serve, *settings], lambda: connect(address))
        yield address
        own.stop(signal.SIGTERM)


def create_database(server: str, name: str) -> str:
    """A new database without a table, with the server's own collation; its address comes back."""
    with contextlib.closing(connect(server)) as connection:
        connection.cursor().execute(f"CREATE DATABASE `{name}`")
    return f"{server}/{name}"


def connect(server: str) -> Any:
    """A connection to a server itself."""
    import pymysql

    url = make_url(server)
    return pymysql.connect(
        host=url.host or "", port=url.port or 0, user=url.username, password=url.password or ""
    )
