"""Tracking: which process works on a run, when it last said so, and whether a run is left over.

A run that is worked on carries `schema.TAG_PROCESS`. Where that process ran on this machine, it is
looked for; of another machine all that is known is the run's last sign of life.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run

from mlflow_modelmap.machine.processes import lives, read_process, this_process
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.store.client import hastily
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.one_line import one_line

BEAT_SECONDS = 30.0
WITHOUT_A_WORD = "Stopped without a word: "
"""How the reason of a run begins that somebody else ended because it gave no sign of life."""
SILENT_SECONDS = 15 * 60.0
"""After which a run of another machine is left over, and no claim holds any more."""
SILENT_TRAINING_SECONDS = 24 * 3600.0
"""As `SILENT_SECONDS`, of a monitored training: it gives a sign only when it records."""


@dataclass
class _AtWork:
    store: MlflowClient
    began: float
    said: float


_at_work: dict[str, _AtWork] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_work.clear)


def process_tags(*, began_before: bool = False) -> dict[str, str]:
    """The tags of a run that this process works on.

    Parameters
    ----------
    began_before
        Whether the run was there already, so that its start says nothing of this process.
    """
    tags = {schema.TAG_PROCESS: this_process().written()}
    return {**tags, schema.TAG_HEARTBEAT: _written(time.time())} if began_before else tags


def begin(run_id: str, store: MlflowClient) -> None:
    """This process works on a run from here on, and `beat` says so."""
    now = time.monotonic()
    _at_work[run_id] = _AtWork(store, now, now)


def end(run_id: str) -> None:
    """It does not any more."""
    _at_work.pop(run_id, None)


@contextlib.contextmanager
def at_work(run_id: str, store: MlflowClient) -> Iterator[None]:
    """This process works on a run for as long as the block."""
    begin(run_id, store)
    try:
        yield
    finally:
        end(run_id)


def worked_on_for(run_id: str) -> float:
    """Seconds for which this process has worked on a run; 0 where it does not."""
    work = _at_work.get(run_id)
    return time.monotonic() - work.began if work else 0.0


def let_go(run_id: str, store: MlflowClient) -> None:
    """Leave a run to whoever opened it, who goes on with it or ends it."""
    end(run_id)
    with contextlib.suppress(Exception):  # it is logged, whatever its owner's tags say
        store.delete_tag(run_id, schema.TAG_PROCESS)


def beat() -> None:
    """Say on the runs that this process works on that it does, twice a minute at most."""
    now = time.monotonic()
    for run_id, work in list(_at_work.items()):
        if now - work.said >= BEAT_SECONDS:
            work.said = now
            with contextlib.suppress(Exception), hastily():
                work.store.set_tag(run_id, schema.TAG_HEARTBEAT, _written(time.time()))


def last_sign(run: Run) -> float:
    """When a run last gave a sign of life, in seconds since the epoch."""
    began = (run.info.start_time or 0) / 1000
    try:
        said = datetime.fromisoformat(run.data.tags.get(schema.TAG_HEARTBEAT, ""))
        return max(began, said.replace(tzinfo=said.tzinfo or timezone.utc).timestamp())
    except (ValueError, OverflowError):
        return began


def left_over(run: Run) -> str | None:
    """Why a RUNNING run of ours is left over by work that was killed; None where it is not.

    Runs of others and of processes that live are not, and none of which that cannot be told.
    """
    process = read_process(run.data.tags.get(schema.TAG_PROCESS, ""))
    if run.info.status != "RUNNING" or schema.TAG_KIND not in run.data.tags or process is None:
        return None
    living, host = lives(process), one_line(process.host)[:100]
    if living is False:
        return f"its process {process.pid} on {host!r} is gone"
    forgotten = process == this_process() and run.info.run_id not in _at_work
    training = run.data.tags[schema.TAG_KIND] == schema.KIND_MONITOR
    longest = SILENT_TRAINING_SECONDS if training else SILENT_SECONDS
    if (living is None or forgotten) and _silent(run, longest):
        return f"{host!r} has given no sign of it since {_written(last_sign(run))}"
    return None


def is_claim(run: Run) -> bool:
    """Whether a living process works on a run just now, so that others need not."""
    process = read_process(run.data.tags.get(schema.TAG_PROCESS, ""))
    if run.info.status != "RUNNING" or run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        return False
    if process is None or lives(process) is False:
        return False
    if process == this_process() and run.info.run_id not in _at_work:
        return False
    return not _silent(run, SILENT_SECONDS)


def said_of(runs: Sequence[Run]) -> str | None:
    """The sentence for those of many runs that are left over, or None."""
    names = [one_line(run.info.run_name or run.info.run_id)[:80] for run in runs if left_over(run)]
    if not names:
        return None
    what = "1 run is" if len(names) == 1 else f"{len(names)} runs are"
    return (
        f"{what} left over by work that was killed, {listed(names)}; `modelmap clean --yes` ends "
        f"{'it' if len(names) == 1 else 'them'}."
    )


def _silent(run: Run, longest: float) -> bool:
    """A sign from the future is none: anyone can write a tag."""
    return abs(time.time() - last_sign(run)) > longest


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
