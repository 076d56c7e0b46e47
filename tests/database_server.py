"""A database server of a test's own: in a new folder, on a free port of the loopback, then gone."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 60
"""How long a server may take to start, and to stop."""


@dataclass
class DatabaseServer:
    """A server's program, its folder and its port.

    Attributes
    ----------
    name
        As it is called in sentences.
    users
        Who may run it where we are root, which such servers refuse to be; the first that is there.
    """

    name: str
    users: Sequence[str]
    folder: Path = field(init=False)
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = None
    _options: dict[str, Any] = field(default_factory=dict)

    def run(self, *command: str | Path) -> None:
        """Run a program to its end, as the server's user."""
        done = subprocess.run(command, capture_output=True, text=True, **self._options)
        if done.returncode:
            raise RuntimeError(f"{self.name} cannot be made: {done.stdout}{done.stderr}")

    def start(self, command: Sequence[str | Path], connect: Callable[[], Any]) -> None:
        """Start the server; it is there once `connect` gives a connection."""
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._options)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                connect().close()
                return
            except Exception as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "log").read_text()
                    raise RuntimeError(f"{self.name} did not start: {said}") from error
                time.sleep(0.1)

    def stop(self, how: signal.Signals) -> None:
        """Stop it by a signal at which it sends away whoever is connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=SECONDS)


@contextlib.contextmanager
def own_server(name: str, users: Sequence[str]) -> Iterator[DatabaseServer]:
    """A folder and a port for a server, which is killed at the end if it was not stopped."""
    server = DatabaseServer(name, users)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server.port = probe.getsockname()[1]
    server.folder = Path(tempfile.mkdtemp(prefix=f"modelmap-{name.lower()}-"))
    server._options["cwd"] = server.folder
    if os.geteuid() == 0:
        user = _unprivileged(name, users)
        server._options |= {"user": user, "group": user, "extra_groups": []}
        shutil.chown(server.folder, user, user)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(server.folder, ignore_errors=True)


def _unprivileged(name: str, users: Sequence[str]) -> int:
    """The user id that Debian's package made, else nobody's."""
    for user in (*users, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(user).pw_uid
    raise RuntimeError(f"{name} does not run as {getpass.getuser()}, and no other user is here")
