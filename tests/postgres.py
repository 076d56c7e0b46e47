"""A real PostgreSQL server in a folder of its own, on the loopback; one that runs is left alone."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
def postgres() -> Iterator[str]:
    """A new server; yields the address of its databases, to which a name is added."""
    programs = _programs()
    assert programs is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="modelmap-postgres-"))
    data = folder / "data"
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to be root
        options["user"] = options["group"] = _unprivileged()
        options["extra_groups"] = []
        shutil.chown(folder, options["user"], options["group"])
    make = [f"{programs}/initdb", "-D", data, "-U", SUPERUSER, "--auth", "trust", "-E", "UTF8"]
    serve = [f"{programs}/postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    process = None
    try:
        subprocess.run(make, check=True, capture_output=True, **options)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(serve, stdout=log, stderr=log, **options)
        _wait(process, port, folder / "log")
        yield f"postgresql+psycopg2://{SUPERUSER}@127.0.0.1:{port}"
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # who is connected is sent away
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server: str, name: str) -> str:
    """A new database without a table; its address comes back."""
    with contextlib.closing(_connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def _connect(server: str) -> Any:
    import psycopg2

    return psycopg2.connect(f"{server.replace('+psycopg2', '')}/postgres")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    server = f"postgresql://{SUPERUSER}@127.0.0.1:{port}"
    while True:
        try:
            _connect(server).close()
            return
        except Exception:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.1)


def _unprivileged() -> int:
    """The user id that Debian's package made, else nobody's."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise RuntimeError(f"PostgreSQL does not run as {getpass.getuser()}, and no other user is here")
