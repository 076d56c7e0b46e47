"""Driver: workers as an array of Slurm jobs, submitted by submitit."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from mlflow_modelmap.drivers.score.spool import spool_folder
from mlflow_modelmap.drivers.score.workers.events import Answer, Died, Moved
from mlflow_modelmap.drivers.score.workers.options import LOCAL, Workers
from mlflow_modelmap.drivers.score.workers.parcels import Parcels
from mlflow_modelmap.drivers.score.workers.slurm_job import (
    ALIVE,
    CLOSED,
    DONE,
    SHARED,
    TAKEN,
    TODO,
    SlurmJob,
    write_whole,
)
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.reason import reason

_COUNT, _THREADS, _MINUTES = 4, 4, 60
_AGAIN = 100
"""How often a job that is preempted, or runs out of time, is started again."""
_ALIVE_SECONDS, _STATE_SECONDS, _POLL_SECONDS = 5.0, 30.0, 0.1
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

    def __init__(self, options: Workers, most: int) -> None:
        if options.cluster != LOCAL and shutil.which("sbatch") is None:
            raise InputError(
                "There is no `sbatch` on this machine; start the sweep where Slurm's commands are, "
                "or try it out with --cluster local."
            )
        self.count = max(1, min(options.count or _COUNT, most))
        root = Path(options.folder or spool_folder() / "slurm").expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="sweep-", dir=root))
            for name in (TODO, TAKEN, DONE, SHARED):
                (self._folder / name).mkdir()
        except OSError as error:
            raise InputError(
                f"The folder {str(root)!r}, where Slurm's jobs and the sweep are to meet, cannot "
                f"be written ({reason(error)}); name another with --folder."
            ) from error
        self._parcels = Parcels(lambda name, data: write_whole(self._folder / SHARED / name, data))
        self._flying: dict[int, str] = {}
        self._given, self._ended_idle, self._failed = 0, 0, False
        self._touched = self._looked = 0.0
        self._jobs: dict[str, Any] = {}
        try:
            self._executor = _executor(options, self._folder / "jobs", self.count)
            self._touch()
            self._submit(self.count)
        except BaseException:
            self.close()
            raise

    def free(self, need: int) -> bool:
        return len(self._flying) < self.count

    def give(self, number: int, need: int, work: Any) -> None:
        packed, _ = self._parcels.pack(work)
        self._given += 1
        name = self._flying[number] = f"{self._given:06}-{number}.task"
        write_whole(self._folder / TODO / name, packed)

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
            (self._folder / ALIVE).touch()

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

    def _answers(self) -> list[Answer]:
        found = []
        for number, name in list(self._flying.items()):
            path = self._folder / DONE / name
            with contextlib.suppress(FileNotFoundError):
                job, outcome = pickle.loads(path.read_bytes())  # noqa: S301 - this sweep's own
                path.unlink()
                del self._flying[number]
                self._ended_idle = 0
                found.append(Answer(number, outcome, job))
        return found

    def _deaths(self) -> list[Died]:
        """Tasks whose jobs are gone; others take the place of those."""
        found: list[Died] = []
        for job in list(self._jobs.values())[:1]:
            with contextlib.suppress(Exception):
                job.watcher.update()  # one question for all; submitit asks every ten minutes
        for name, job in list(self._jobs.items()):
            if not _has_ended(job):
                continue
            del self._jobs[name]
            self._failed = True
            why = _why(job)
            taken = [path.name.partition(".")[2] for path in self._taken(name)]
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
            self._submit(1)
        return found

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


def _why(job: Any) -> str:
    """What is known of a job's end."""
    with contextlib.suppress(Exception):
        state = str(job.state)
        if state not in ("UNKNOWN", "COMPLETED", "FINISHED"):
            return f"Slurm says {state}"
    return "the job ended"
