"""Driver: workers as processes of this machine, a GPU each or their share of its threads."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from mlflow_modelmap.drivers.score.workers.events import Answer, Died, Moved
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.drivers.score.workers.parcels import Parcels
from mlflow_modelmap.drivers.score.workers.process import read, write
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.words.reason import reason

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_NOT_THEIRS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
_PROGRAM = "mlflow_modelmap.drivers.score.workers.process"
_END_SECONDS = 5.0


@dataclass(eq=False)
class _Worker:
    place: int
    process: subprocess.Popen[bytes]
    pid: int
    task: int | None = None
    need: int = 0


class LocalProcesses:
    """So many processes, each of which does one task after the other.

    They end with the process that started them, however that ends.

    Raises
    ------
    InputError
        If there are not as many GPUs as asked for.
    """

    prepares = True

    def __init__(self, options: Workers, *, on_cpu: bool, keeps_devices: bool) -> None:
        """Start nothing yet.

        Parameters
        ----------
        on_cpu
            Whether every model is scored on CPU, whatever there is.
        keeps_devices
            Whether a model names its GPU by number, so that none may be hidden.
        """
        devices = [] if on_cpu else _gpus()
        self._devices = _shares(options, devices)
        self.count = options.count or len(self._devices) or 1
        threads = options.threads or max(1, _cores() // self.count)
        self._environment = {
            **{k: v for k, v in os.environ.items() if k not in _NOT_THEIRS},
            **dict.fromkeys(_THREADS, str(threads)),
        }
        self._hides = bool(self._devices) and not keeps_devices
        self._memory = None if self._devices else int(0.9 * psutil.virtual_memory().available)
        self._workers: dict[int, _Worker] = {}
        self._heard: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._folder = temporary_folder()
        self._parcels = Parcels(lambda name, data: self._keep(name, data))
        self._closed = False

    def shares(self, folder: Path) -> bool:
        return True

    def free(self, need: int) -> bool:
        busy = [worker for worker in self._workers.values() if worker.task is not None]
        if len(busy) >= self.count:
            return False
        used = sum(worker.need for worker in busy)
        return not busy or self._memory is None or used + need <= self._memory

    def give(self, number: int, need: int, work: Any) -> None:
        idle = [worker for worker in self._workers.values() if worker.task is None]
        try:
            packed, _ = self._parcels.pack(work)
            worker = idle[0] if idle else self._start()
        except OSError as error:
            raise ScoringError(
                f"No work can be given to processes of this machine ({reason(error)}); see whether "
                f"{tempfile.gettempdir()!r} has room, and processes may be started."
            ) from error
        worker.task, worker.need = number, need
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone, which is heard of
            write(worker.process.stdin, (number, packed))

    def events(self, seconds: float) -> list[Answer | Moved | Died]:
        found: list[Answer | Moved | Died] = []
        until = time.monotonic() + seconds
        while True:
            try:
                left = 0.0 if found else max(0.0, until - time.monotonic())
                worker, message = self._heard.get(timeout=left) if left else self._heard.get(False)
            except queue.Empty:
                return found
            event = self._event(worker, message)
            if event is not None:
                found.append(event)

    def close(self) -> None:
        self._closed = True
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                if worker.process.stdin is not None:
                    worker.process.stdin.close()  # it ends by itself
            _kill(worker)
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_END_SECONDS)
        self._workers.clear()
        self._folder.cleanup()

    def _keep(self, name: str, data: bytes) -> None:
        (Path(self._folder.name) / name).write_bytes(data)

    def _start(self) -> _Worker:
        place = min(set(range(self.count)) - set(self._workers))
        environment = dict(self._environment)
        if self._hides:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices[place % len(self._devices)]
        process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the sweep
        )
        worker = self._workers[place] = _Worker(place, process, process.pid)
        assert process.stdout is not None
        threading.Thread(target=self._listen, args=(worker, process.stdout), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker, answers: IO[bytes]) -> None:
        with contextlib.suppress(Exception):
            while True:
                self._heard.put((worker, read(answers)))
        self._heard.put((worker, None))

    def _event(self, worker: _Worker, message: Any) -> Answer | Moved | Died | None:
        if message is None:
            return self._gone(worker)
        kind, *said = message
        if kind == "here":
            worker.pid = said[0]
        elif kind == "moved" and said[0] == worker.task:
            return Moved(*said)
        elif kind == "answer" and said[0] == worker.task:
            worker.task = None
            return Answer(said[0], said[1], self._name(worker))
        return None

    def _gone(self, worker: _Worker) -> Died | None:
        code = 0
        with contextlib.suppress(subprocess.TimeoutExpired):  # why, it says itself
            code = worker.process.wait(_END_SECONDS)
        _kill(worker)
        self._workers.pop(worker.place, None)
        if self._closed or worker.task is None:
            return None
        return Died(worker.task, self._name(worker), _why(code))

    def _name(self, worker: _Worker) -> str:
        return f"{worker.place + 1} (process {worker.pid})"


def _kill(worker: _Worker) -> None:
    """End a worker with all that it started; it is the leader of a session of its own."""
    for pid in {worker.pid, worker.process.pid}:
        with contextlib.suppress(OSError, AttributeError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
    if worker.process.poll() is None:
        with contextlib.suppress(OSError):
            worker.process.kill()


def _why(code: int) -> str:
    number = -code if code < 0 else code - 128
    if number == 9:
        return "killed, perhaps because memory ran out"
    if 0 < number < 65:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def _cores() -> int:
    """Those that this process may use, also where a container has a share of a machine's."""
    from joblib import cpu_count

    return cpu_count()


def _gpus() -> list[str]:
    """The GPUs that this process may see, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip() not in ("", "-1")]
    from mlflow_modelmap.scoring.load.precision import gpus

    return [str(number) for number in range(gpus())]


def _shares(options: Workers, devices: Sequence[str]) -> list[str]:
    """Which GPUs each worker sees; nothing where there are none, or none are wanted."""
    wanted = options.gpus
    if wanted == 0 or not devices:
        if wanted:
            raise InputError(f"{wanted:g} GPUs a worker are asked for, and this machine has none.")
        return []
    if wanted is None or wanted < 1:
        each = 1 if wanted is None else math.floor(1 / wanted + 1e-9)
        return [device for _ in range(each) for device in devices]
    whole = int(wanted)
    if whole > len(devices):
        raise InputError(
            f"{whole} GPUs a worker are asked for, and this machine has {len(devices)}."
        )
    starts = range(0, len(devices) - whole + 1, whole)
    return [",".join(devices[start : start + whole]) for start in starts]
