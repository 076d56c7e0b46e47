"""A real PostgreSQL server in a folder of its own, on the loopback; one that runs is left alone."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.database_server import own_server

SUPERUSER = "modelmap"


def _programs() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    kept = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return kept[-1].parent if kept else None


def missing() -> str | None:
    """What to install, in a sentence; None where all is there."""
    if _programs() is None:
        return "There is no PostgreSQL (initdb) here; install it: apt-get install postgresql."
    if importlib.util.find_spec("psycopg2") is None:
        return "Python has no psycopg2 here; install it: pip install psycopg2-binary."
    return None


def version() -> str:
    """As the server says it."""
    said = subprocess.run(
        [f"{_programs()}/postgres", "--version"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()[-1 if "(" not in said.stdout else 2]


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A new server; yields the address of its databases, to which a name is added."""
    programs = _programs()
    assert programs is not None
    with own_server("PostgreSQL", ["postgres"]) as own:
        data, port = own.folder / "data", str(own.port)
        make = [programs / "initdb", "-D", data, "-U", SUPERUSER, "--auth", "trust", "-E", "UTF8"]
        own.run(*make)
        address = f"postgresql+psycopg2://{SUPERUSER}@127.0.0.1:{port}"
        serve = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", own.folder]
        own.start(serve, lambda: _connect(address))
        yield address
        own.stop(signal.SIGINT)


def create_database(server: str, name: str) -> str:
    """A new database without a table; its address comes back."""
    with contextlib.closing(_connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def _connect(server: str) -> Any:
    import psycopg2

    return psycopg2.connect(f"{server.replace('+psycopg2', '')}/postgres")
