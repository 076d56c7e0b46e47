"""A real `mlflow server` in a process of its own, over a store in a folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import forking


@contextlib.contextmanager
def serving(
    folder: Path, *options: str, env: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[str]:
    """Serve ``mlflow.db`` of a folder with further options; yields its address, with the prefix.

    Without the processes for jobs, that the map has nothing to do with, a server is quick to start;
    a heavy test in `e2e/test_server.py` has one with them.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}{prefix}"
    log = folder / f"server-{port}.log"
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", *options]
    with log.open("w") as file:
        process = forking.Process(
            *command,
            cwd=folder,
            stdout=file.fileno(),
            stderr=file.fileno(),
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
            | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            | {**(env or {})},
        )
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                # Behind gunicorn MLflow 3.5 has this without the prefix.
                for asked in dict.fromkeys((address, address.removesuffix(prefix))):
                    with contextlib.suppress(urllib.error.HTTPError):
                        urllib.request.urlopen(f"{asked}/health", timeout=2).close()
                        break
                else:
                    raise ConnectionError
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
