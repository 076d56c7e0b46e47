"""Driver: what a Slurm job does - it takes tasks from a folder that it shares with the sweep."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TODO, TAKEN, DONE, SHARED = "todo", "taken", "done", "shared"
ALIVE, CLOSED = "alive", "closed"
_LOOK_SECONDS = 0.3
_SIGN_SECONDS = 60.0
SILENT_SECONDS = 900.0
"""After which a sweep, or a job of which Slurm says nothing, is taken to be gone."""


class SlurmJob:
    """Tasks done one after the other, until there are no more; pickled, it goes to the node.

    Parameters
    ----------
    folder
        Where the tasks are.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, place: int) -> int:
        """How many tasks were done."""
        from submitit import JobEnvironment

        from mlflow_modelmap.drivers.score.workers.do import do
        from mlflow_modelmap.drivers.score.workers.parcels import unpack

        folder, job = Path(self.folder), str(JobEnvironment().job_id)
        for left in (folder / TAKEN).glob(f"{job}.*"):  # it was preempted, and goes on
            with contextlib.suppress(FileNotFoundError):
                os.rename(left, folder / TODO / left.name.partition(".")[2])
        count, sweep = 0, Silence(folder / ALIVE)
        while _goes_on(folder, sweep):
            taken = _take(folder, job)
            if taken is None:
                time.sleep(_LOOK_SECONDS)
                continue
            work = unpack(taken.read_bytes(), lambda name: (folder / SHARED / name).read_bytes())
            with _giving_signs(taken):
                answer = pickle.dumps((job, do(work)))
            write_whole(folder / DONE / taken.name.partition(".")[2], answer)
            taken.unlink(missing_ok=True)
            count += 1
        return count

    def checkpoint(self, place: int) -> Any:
        """What Slurm starts again after this job was preempted, or ran out of time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, place)


class Silence:
    """How long a file has not been touched, by one's own clock: those of nodes may differ."""

    def __init__(self, path: Path) -> None:
        self._path, self._touched, self._since = path, 0, time.monotonic()

    def seconds(self) -> float:
        """Since it was last seen to be touched.

        Raises
        ------
        OSError
            If it is not there.
        """
        touched = self._path.stat().st_mtime_ns
        if touched != self._touched:
            self._touched, self._since = touched, time.monotonic()
        return time.monotonic() - self._since


def _goes_on(folder: Path, sweep: Silence) -> bool:
    with contextlib.suppress(OSError):
        return sweep.seconds() < SILENT_SECONDS and not (folder / CLOSED).exists()
    return False


@contextlib.contextmanager
def _giving_signs(taken: Path) -> Iterator[None]:
    """The file of a task is touched now and then, for as long as it is worked on."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(_SIGN_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(taken)

    threading.Thread(target=touch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _take(folder: Path, job: str) -> Path | None:
    """The next task, which is then this job's alone."""
    for path in sorted((folder / TODO).glob("*.task")):
        taken = folder / TAKEN / f"{job}.{path.name}"
        with contextlib.suppress(FileNotFoundError):  # another job was faster
            os.rename(path, taken)
            return taken
    return None


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole, or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(data)
    os.replace(partial, path)
