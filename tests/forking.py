"""Processes of their own that start at once: forked from one that has imported everything.

What the tests are about is a process's signals, its exit code and what it leaves behind, not that
Python imports torch and MLflow in it, which takes far longer than all the rest:

    done = forking.run("-c", "print(1)")                       # as subprocess.run
    process = forking.Process("-m", "mlflow_modelmap", ...)    # as subprocess.Popen
    subprocess.run(["sh", script], env=forking.environment())  # its `modelmap` and `python`

What a fork cannot show - that a fresh Python finds and imports everything - is held by the tests
that start one: `mlflow run` in `e2e`, the server, and the exit codes of the gate.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ADDRESS = "MODELMAP_TESTS_FORKS"
IMPORTED = (
    "mlflow.cli",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.transformers",
    "matplotlib.pyplot",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.decomposition",
    "sklearn.manifold",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "transformers.models.llama.modeling_llama",
    "mlflow_modelmap.surfaces.cli",
    "mlflow_modelmap.drivers.gate.gate",
    "mlflow_modelmap.drivers.lineage.lineage",
    "mlflow_modelmap.drivers.map.build_map",
    "mlflow_modelmap.drivers.monitor.monitor",
    "mlflow_modelmap.drivers.score.sweep",
    "mlflow_modelmap.drivers.study.quantization",
    "mlflow_modelmap.drivers.weights.distances",
    "mlflow_modelmap.scoring.engine.score_texts",
    "mlflow_modelmap.surfaces.callbacks.trainer",
    "tests.training",
    "bitsandbytes",
)
CLIENT = """#!{python} -ES
import json, os, socket, sys
asked = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
if os.path.basename(sys.argv[0]) == "modelmap":
    asked = ["-m", "mlflow_modelmap", *asked]
line = json.dumps({{"arguments": asked, "folder": os.getcwd(), "environment": dict(os.environ)}})
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"x"], [0, 1, 2])
server.sendall(line.encode() + b"\\n")
told = server.makefile().read().split()
code = int(told[1])
os._exit(code if code >= 0 else 128 - code)
"""


# What tests call.

_held: list[socket.socket] = []


@functools.cache
def _server() -> str:
    """The address of this test process's server, started with the first call."""
    folder = Path(tempfile.mkdtemp(prefix="forks-", dir="/tmp"))
    address = str(folder / "socket")
    for name in ("modelmap", "python"):
        (folder / name).write_text(CLIENT.format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)
    alive, own = socket.socketpair()
    left_out = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forking", address],
        cwd=ROOT,
        stdin=alive,
        env={
            **{name: value for name, value in os.environ.items() if name not in left_out},
            "OMP_NUM_THREADS": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool beside, which bitsandbytes starts
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    )
    alive.close()
    _held.append(own)  # it ends when this process does
    deadline = time.monotonic() + 300
    while not os.path.exists(address):
        assert process.poll() is None, "the process to fork from has ended"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return address


def environment() -> dict[str, str]:
    """This process's, in which `python` and `modelmap` are forked."""
    folder = str(Path(_server()).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"]])}


def _pipe(file: int) -> tuple[Any, int]:
    """What is read here, if anything is, and the file to be written to."""
    if file != subprocess.PIPE:
        return None, file
    ours, theirs = os.pipe()
    return os.fdopen(ours, encoding="utf-8", errors="replace"), theirs


class Process:
    """As `subprocess.Popen`, of Python with some arguments; its pipes hold text."""

    def __init__(
        self,
        *arguments: object,
        cwd: str | Path | None = None,
        env: dict[str, str] | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        start_new_session: bool = False,
    ) -> None:
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        self.args: list[str] = asked["arguments"]
        self.returncode: int | None = None
        self.stdout, out = _pipe(stdout)
        self.stderr, err = _pipe(stderr)
        self._told = socket.socket(socket.AF_UNIX)
        self._told.connect(_server())
        with open(os.devnull) as nothing:
            socket.send_fds(self._told, [b"x"], [nothing.fileno(), out, err])
        self._told.sendall(json.dumps(asked).encode() + b"\n")
        for ours, theirs in ((self.stdout, out), (self.stderr, err)):
            if ours is not None:
                os.close(theirs)
        self._lines = self._told.makefile()
        self.pid = int(self._lines.readline())

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it is gone."""
        if self.returncode is None:
            if not self._ready(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._lines.readline())
            self._told.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code, or None while it is there."""
        if self.returncode is None and self._ready(0):
            self.wait()
        return self.returncode

    def _ready(self, timeout: float | None) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            return bool(selector.select(timeout))

    def send_signal(self, number: int) -> None:
        """A real one, unless it is gone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still says, once it is gone."""
        said = {"out": "", "err": ""}

        def read(name: str, pipe: Any) -> None:
            if pipe is not None and not pipe.closed:
                said[name] = pipe.read()
                pipe.close()

        readers = [
            threading.Thread(target=read, args=pipe, daemon=True)
            for pipe in (("out", self.stdout), ("err", self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return said["out"], said["err"]


def run(*arguments: object, timeout: float = 600, **options: Any) -> subprocess.CompletedProcess:
    """As `subprocess.run` with all that is said captured."""
    process = Process(*arguments, **options)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


# What the process does that is forked from.


class _Asked:
    """One who asked: a connection, its files, what was read of it so far, and the child's id."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        _, self.files, *_ = socket.recv_fds(connection, 1, 3)
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1 << 20)
        self.order = json.loads(line)


def serve(address: str) -> dict[str, Any]:
    """Fork a child for everyone who asks, and say how it ended; comes back in each child."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen()
    os.rename(f"{address}.new", address)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)  # ends with the tests
    children: dict[int, socket.socket] = {}
    while True:
        for key, _ in selector.select(0.01 if children else None):
            if key.fileobj == 0:
                for pid in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                shutil.rmtree(Path(address).parent, ignore_errors=True)
                os._exit(0)
            asked = _Asked(listener.accept()[0])
            pid = os.fork()
            if pid == 0:
                for one in (listener, selector, asked.connection, *children.values()):
                    one.close()
                for number, file in enumerate(asked.files):
                    os.dup2(file, number)
                    os.close(file)
                return asked.order
            for file in asked.files:
                os.close(file)
            asked.connection.sendall(f"{pid}\n".encode())
            children[pid] = asked.connection
        for pid, status in _ended(children):
            with contextlib.suppress(OSError), children.pop(pid) as connection:
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _ended(children: dict[int, socket.socket]) -> Iterator[tuple[int, int]]:
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            yield pid, status


def become(order: dict[str, Any]) -> tuple[str, str]:
    """Take on what was asked for; the code to run and the name of its file come back."""
    if order.get("session"):
        os.setsid()
    # As a new shell gives them, whatever nohup or a shell's & left to the tests themselves.
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    _read_the_hubs_variables()
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    kind, *others = order["arguments"]
    if kind == "-m":
        sys.argv = ["-m", *others[1:]]
        sys.path[:0] = ["", *path]
        module = others[0]
        return f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)", (
            "<module>"
        )
    if kind == "-c":
        sys.argv = ["-c", *others[1:]]
        sys.path[:0] = ["", *path]
        return others[0], "<string>"
    sys.argv = [kind, *others]
    sys.path[:0] = ["" if kind == "-" else str(Path(kind).resolve().parent), *path]
    return (sys.stdin.read() if kind == "-" else Path(kind).read_text(encoding="utf-8")), kind


def _read_the_hubs_variables() -> None:
    """As `huggingface_hub` reads them when it is imported."""
    from huggingface_hub import constants, file_download

    place = os.environ.get("HF_HUB_CACHE")
    if place:
        constants.HF_HUB_CACHE = place
    constants.HF_HUB_OFFLINE = os.environ.get("HF_HUB_OFFLINE") == "1"
    if "HF_ENDPOINT" in os.environ:
        constants.ENDPOINT = os.environ["HF_ENDPOINT"]
        constants.HF_HUB_DISABLE_XET = True
        template = constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
        for module in (constants, file_download):  # the latter until version 1
            vars(module)["HUGGINGFACE_CO_URL_TEMPLATE"] = template


def _import_all() -> None:
    import importlib

    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is there already is not looked at again in every child
    threads = [path.read_text().strip() for path in sorted(Path("/proc/self/task").glob("*/comm"))]
    others = [name for name in threads[1:] if name != "jemalloc_bg_thd"]  # it heeds forks
    assert not others, f"a process with other threads cannot be forked: {others}"


if __name__ == "__main__":
    _import_all()
    _code, _file = become(serve(sys.argv[1]))
    _namespace = {"__name__": "__main__", "__file__": _file, "__builtins__": __builtins__}
    exec(compile(_code, _file, "exec"), _namespace)
