"""Driver: find what killed work left behind - runs, temporary folders, spool files - and end it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.machine.folders import left_folders
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import scores_with
from mlflow_modelmap.tracking.runs.left_overs import end_left_over, left_overs
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import find_experiments
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.reason import reason

RUN, FOLDER, SPOOL = "run", "temporary folder", "spool file"


@dataclass(frozen=True)
class LeftOver:
    """Something that killed work left behind.

    Attributes
    ----------
    what
        ``run``, ``temporary folder`` or ``spool file``.
    name
        The run's name, or the path.
    why
        Why it is left over.
    run_id, kind, experiment_id
        Of a run.
    gone
        Whether it was ended or removed.
    error
        Why it could not be.
    """

    what: str
    name: str
    why: str
    run_id: str | None = None
    kind: str | None = None
    experiment_id: str | None = None
    gone: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Cleaned:
    """What was found.

    Attributes
    ----------
    left
        Everything that is left over.
    waiting
        Vectors and sums in the spool that wait to be logged: work that is not lost, and stays.
    """

    left: tuple[LeftOver, ...]
    waiting: tuple[str, ...]


@quiet()
def clean(experiments: Iterable[str] = (), *, yes: bool = False) -> Cleaned:
    """List what killed work left behind, and end it if so asked.

    Runs become KILLED with the reason. Runs of others, and runs whose process lives, are never
    touched; nor are vectors that wait to be logged.

    Parameters
    ----------
    experiments
        Where runs are looked for; by default everywhere.
    yes
        Whether to end and remove what is found.

    Raises
    ------
    InputError
        If an experiment is not there.
    TrackingError
        If the store does not answer.
    """
    store = check_reachable()
    found = [one.experiment_id for one in find_experiments(tuple(experiments), store)]
    everywhere = [one.experiment_id for one in find_experiments((), store)]
    left: list[LeftOver] = []
    for run, why in left_overs(found, store):
        info = run.info
        one = LeftOver(
            RUN,
            one_line(info.run_name or info.run_id)[:100],
            why,
            info.run_id,
            run.data.tags[schema.TAG_KIND],
            info.experiment_id,
        )
        left.append(_gone(one, partial(end_left_over, info.run_id, store)) if yes else one)
    files = [(FOLDER, path, "its process is gone") for path in left_folders()]
    files += [(SPOOL, path, "half-written by a process that is gone") for path in spool.partial()]
    waiting: list[str] = []
    for path, identity in spool.whole():
        if identity is not None and scores_with([identity], everywhere, store):
            files.append((SPOOL, path, "its score is logged"))
        else:
            waiting.append(str(path))
    for what, path, why in files:
        one = LeftOver(what, str(path), why)
        left.append(_gone(one, partial(_remove, path)) if yes else one)
    return Cleaned(tuple(left), tuple(waiting))


def _gone(one: LeftOver, work: Callable[[], object]) -> LeftOver:
    """End or remove one of them; one that cannot be stops no other."""
    try:
        work()
    except Exception as error:
        return replace(one, error=reason(error))
    return replace(one, gone=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
