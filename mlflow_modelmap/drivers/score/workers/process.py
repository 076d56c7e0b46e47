"""Driver: a worker process of this machine, started by a sweep and told what to do by its stdin."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from mlflow_modelmap.drivers.process import collector, memory

_LENGTH = 8
_EVERY_SECONDS = 0.5


def write(file: IO[bytes], message: Any) -> None:
    """One message into a pipe."""
    data = pickle.dumps(message, protocol=5)
    file.write(len(data).to_bytes(_LENGTH, "big") + data)
    file.flush()


def read(file: IO[bytes]) -> Any:
    """The next message of a pipe.

    Raises
    ------
    EOFError
        If whoever wrote it is gone.
    """
    length = _exactly(file, _LENGTH)
    return pickle.loads(_exactly(file, int.from_bytes(length, "big")))  # noqa: S301 - our own pipe


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if data is None or len(data) < count:
        raise EOFError
    return data


def main(folder: str) -> None:
    """Do what comes, until the sweep is gone or has no more; `folder` holds what is shared."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep hears it, and ends this process
    told, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    write(answers, ("here", os.getpid()))
    tasks: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()

    def listen() -> None:
        with contextlib.suppress(Exception):
            while True:
                tasks.put(read(told))
        os._exit(0)  # nobody waits for an answer any more

    threading.Thread(target=listen, daemon=True).start()
    from mlflow_modelmap.drivers.score.workers.do import do
    from mlflow_modelmap.drivers.score.workers.parcels import unpack

    while True:
        number, packed = tasks.get()
        said = [0.0]

        def moved(done: int, total: int, number: int = number, said: list[float] = said) -> None:
            now = time.monotonic()
            if done >= total or now - said[0] > _EVERY_SECONDS:
                said[0] = now
                write(answers, ("moved", number, done, total))

        work = unpack(packed, lambda name: (Path(folder) / name).read_bytes())
        write(answers, ("answer", number, do(work, moved)))


if __name__ == "__main__":
    collector.seldom()
    memory.remember_few_shapes()
    main(sys.argv[1])
