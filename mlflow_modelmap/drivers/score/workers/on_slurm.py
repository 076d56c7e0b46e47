"""Driver: workers as an array of Slurm jobs, submitted by submitit."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from mlflow_modelmap.drivers.process.progress import say
from mlflow_modelmap.drivers.score.spool import spool_folder
from mlflow_modelmap.drivers.score.workers.events import Answer, Died, Moved
from mlflow_modelmap.drivers.score.workers.options import LOCAL, Workers
from mlflow_modelmap.drivers.score.workers.parcels import Parcels
from mlflow_modelmap.drivers.score.workers.slurm_job import (
    ALIVE,
    CLOSED,
    DONE,
    SHARED,
    SILENT_SECONDS,
    TAKEN,
    TODO,
    Silence,
    SlurmJob,
    write_whole,
)
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.reason import reason

_COUNT, _THREADS, _MINUTES = 4, 4, 60
_AGAIN = 100
"""How often a job that is preempted, or runs out of time, is started again."""
_ALIVE_SECONDS, _STATE_SECONDS, _POLL_SECONDS = 5.0, 30.0, 0.1
_PATIENCE_SECONDS = 180.0
"""For so long Slurm may say nothing of new jobs."""
_KEPT_SECONDS = 24 * 3600
"""What the jobs of a sweep said that failed or was killed stays for a day."""
_UNKNOWN = "UNKNOWN"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class OnSlurm:
    """An array of jobs that take tasks from a folder which all nodes see.

    A model is prepared where it is scored. A job that is preempted goes on with its task; one that
    is gone costs its task a try, and another one is submitted in its place.

    Raises
    ------
    InputError
        If there is no Slurm here, it refuses the jobs, or all of them fail at once.
    """

    prepares = False

    def __init__(self, options: Workers, most: int, shown: bool = False) -> None:
        """Submit the jobs.

        Parameters
        ----------
        most
            So many tasks there are.
        shown
            Whether remarks are shown on stderr.
        """
        if options.cluster != LOCAL and shutil.which("sbatch") is None:
            raise InputError(
                "There is no `sbatch` on this machine; start the sweep where Slurm's commands are, "
                "or try it out with --cluster local."
            )
        self.count = max(1, min(options.count or _COUNT, most))
        root = Path(options.folder or spool_folder() / "slurm").expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
            _forget_old(root)
            self._folder = Path(tempfile.mkdtemp(prefix="sweep-", dir=root))
            for name in (TODO, TAKEN, DONE, SHARED):
                (self._folder / name).mkdir()
            self._owner = self._folder.stat().st_uid
        except OSError as error:
            raise InputError(
                f"The folder {str(root)!r}, where Slurm's jobs and the sweep are to meet, cannot "
                f"be written ({reason(error)}); name another with --folder."
            ) from error
        self._parcels = Parcels(lambda name, data: write_whole(self._folder / SHARED / name, data))
        self._flying: dict[int, str] = {}
        self._given, self._ended_idle, self._failed = 0, 0, False
        self._shown, self._began = shown, time.monotonic()
        self._silences: dict[str, Silence] = {}
        self._touched = self._looked = 0.0
        self._jobs: dict[str, Any] = {}
        self._here = options.cluster == LOCAL
        try:
            logging.getLogger("submitit").setLevel(logging.ERROR)  # at each question to `sacct`
            self._executor = _executor(options, self._folder / "jobs", self.count)
            self._touch()
            self._submit(self.count)
        except BaseException:
            self.close()
            raise

    def shares(self, folder: Path) -> bool:
        """Where it lies on the same file system as the folder that all nodes see."""
        there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
        return self._here or there.stat().st_dev == self._folder.stat().st_dev

    def free(self, need: int) -> bool:
        return len(self._flying) < self.count

    def give(self, number: int, need: int, work: Any) -> None:
        self._given += 1
        name = f"{self._given:06}-{number}.task"
        try:
            packed, _ = self._parcels.pack(work)
            write_whole(self._folder / TODO / name, packed)
        except OSError as error:
            raise self._not_written(error) from error
        self._flying[number] = name

    def events(self, seconds: float) -> list[Answer | Moved | Died]:
        until = time.monotonic() + seconds
        while True:
            self._touch()
            found: list[Answer | Moved | Died] = [*self._answers()]
            if not found and time.monotonic() - self._looked > _STATE_SECONDS:
                self._looked = time.monotonic()
                found = [*self._deaths()]
            if found or time.monotonic() > until:
                return found
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            (self._folder / CLOSED).touch()
        for job in self._jobs.values():
            with contextlib.suppress(Exception):
                job.cancel(check=False)
        self._jobs.clear()
        for name in (TODO, TAKEN, DONE, SHARED):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        if not self._failed:  # else somebody may want to read what the jobs said
            shutil.rmtree(self._folder, ignore_errors=True)

    def _touch(self) -> None:
        if time.monotonic() - self._touched > _ALIVE_SECONDS:
            self._touched = time.monotonic()
            try:
                (self._folder / ALIVE).touch()
            except FileNotFoundError as error:
                raise self._not_written(error) from error
            except OSError:
                pass  # the next time, perhaps

    def _submit(self, count: int) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                jobs = self._executor.map_array(SlurmJob(str(self._folder)), range(count))
        except Exception as error:
            raise InputError(
                f"Slurm does not take the jobs ({reason(error, 400)}); see --partition, --time, "
                "--gpus, --memory and --sbatch."
            ) from error
        self._jobs |= {str(job.job_id): job for job in jobs}

    def _not_written(self, error: OSError) -> ScoringError:
        return ScoringError(
            f"The folder {str(self._folder)!r}, where Slurm's jobs and the sweep meet, cannot be "
            f"written any more ({reason(error)}); see whether it is there and has room."
        )

    def _answers(self) -> list[Answer | Died]:
        found: list[Answer | Died] = []
        for number, name in list(self._flying.items()):
            path = self._folder / DONE / name
            try:
                with path.open("rb") as file:  # one and the same, whatever takes its place
                    data, owner = file.read(), os.fstat(file.fileno()).st_uid
                if owner != self._owner:
                    raise ValueError("another user wrote it")
                job, outcome = pickle.loads(data)  # noqa: S301 - this sweep's own
                found.append(Answer(number, outcome, job))
                self._ended_idle = 0
            except OSError:
                continue  # not there yet
            except Exception as error:
                why = f"its answer cannot be read: {reason(error)}"
                found.append(Died(number, "of Slurm", why))
            with contextlib.suppress(OSError):
                path.unlink()
            del self._flying[number]
        return found

    def _deaths(self) -> list[Died]:
        """Tasks whose jobs are gone; others take the place of those."""
        found: list[Died] = []
        for job in list(self._jobs.values())[:1]:
            with contextlib.suppress(Exception):
                job.watcher.update()  # one question for all; submitit asks every ten minutes
        for name, job in list(self._jobs.items()):
            taken = [path.name.partition(".")[2] for path in self._taken(name)]
            if _has_ended(job):
                why = _why(job)
            elif taken and _state(job) == _UNKNOWN and self._is_silent(f"{name}.{taken[0]}"):
                why = "it gives no sign, and Slurm says nothing of it"
            else:
                continue
            del self._jobs[name]
            self._failed = True
            died = [number for number, task in self._flying.items() if task in taken]
            for number in died:
                del self._flying[number]
                found.append(Died(number, f"job {name}", why))
            self._ended_idle += not died
            if self._ended_idle > self.count:
                raise InputError(
                    f"The jobs end before they have done anything ({why}); what they said is in "
                    f"{str(self._folder / 'jobs')!r}."
                )
        self._submit_again(self.count - len(self._jobs))
        self._say_of_lost()
        return found

    def _submit_again(self, count: int) -> None:
        """In the place of jobs that are gone; Slurm may be too busy just now."""
        try:
            if count:
                self._submit(count)
        except InputError:
            if not self._jobs:
                raise

    def _is_silent(self, taken: str) -> bool:
        """Whether the file of a task was touched no more for long."""
        path = self._folder / TAKEN / taken
        with contextlib.suppress(OSError):
            return self._silences.setdefault(taken, Silence(path)).seconds() > SILENT_SECONDS
        return False

    def _say_of_lost(self) -> None:
        """Jobs that no one knows of may be lost, or a cluster keeps no accounts: who can tell?"""
        late = time.monotonic() - self._began > _PATIENCE_SECONDS
        if not late or not self._shown or list((self._folder / TAKEN).glob("*")):
            return
        if all(_state(job) == _UNKNOWN for job in self._jobs.values()):
            self._shown = False
            say(
                f"Slurm says nothing of job {next(iter(self._jobs))} (`sacct` knows none, or "
                "fails); if it is lost, stop the sweep and start it again."
            )

    def _taken(self, job: str) -> list[Path]:
        return list((self._folder / TAKEN).glob(f"{job}.*"))


def _executor(options: Workers, folder: Path, count: int) -> Any:
    threads = options.threads or _THREADS
    minutes = options.time or _MINUTES
    setup = [f"export {name}={threads}" for name in _THREAD_VARIABLES]
    gpus = options.gpus or 0
    if gpus != int(gpus):
        raise InputError(f"gpus is {gpus:g}; Slurm gives whole ones, so take 0, 1, 2, ...")
    if options.cluster == LOCAL:
        from submitit import LocalExecutor

        executor: Any = LocalExecutor(folder, max_num_timeout=_AGAIN)
        executor.update_parameters(timeout_min=minutes, gpus_per_node=int(gpus), setup=setup)
        return executor
    from submitit import SlurmExecutor

    try:
        executor = SlurmExecutor(folder, max_num_timeout=_AGAIN)
    except RuntimeError as error:
        raise InputError(f"Slurm is not whole on this machine ({reason(error)}).") from error
    executor.update_parameters(
        job_name="modelmap",
        time=minutes,
        cpus_per_task=threads,
        array_parallelism=count,
        setup=setup,
        additional_parameters=_more(options.sbatch),
        **({"partition": options.partition} if options.partition else {}),
        **({"gpus_per_node": int(gpus)} if gpus else {}),
        **({"mem": f"{options.memory:g}GB"} if options.memory else {}),
    )
    return executor


def _more(written: tuple[str, ...]) -> dict[str, str]:
    """Options of sbatch as ``name=value``; of one without a value the value is empty."""
    found = {}
    for part in written:
        name, _, value = part.lstrip("-").partition("=")
        if not name.strip() or any(sign in part for sign in "\n\r\0"):
            raise InputError(f"The sbatch option {part!r} has no name; write name=value.")
        found[name.strip()] = value
    return found


def _has_ended(job: Any) -> bool:
    with contextlib.suppress(Exception):
        return bool(job.done())
    return False


def _state(job: Any) -> str:
    with contextlib.suppress(Exception):
        return one_line(job.state)[:100]
    return _UNKNOWN


def _why(job: Any) -> str:
    """What is known of a job's end."""
    state = _state(job)
    return (
        "the job ended" if state in (_UNKNOWN, "COMPLETED", "FINISHED") else f"Slurm says {state}"
    )


def _forget_old(root: Path) -> None:
    """Remove what sweeps left here that were killed, or whose jobs failed, a day ago."""
    for alive in root.glob(f"sweep-*/{ALIVE}"):
        with contextlib.suppress(OSError):
            if time.time() - alive.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(alive.parent)
