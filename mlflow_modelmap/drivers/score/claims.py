"""Driver: who else is making this score - a run that is being worked on holds other processes off.

No lock is taken: the claim is the RUNNING run itself, with the score's identity and the process
that works on it. It holds for as long as that process lives, see `tracking.runs.alive`. Whoever
claims writes first and looks then, so that of two at least one sees the other. Of runs that were
made for it the later one, by the times that both can read, takes its claim back at once; the
earlier one waits for that. A later one that stays has looked before it could see the earlier one
(a slow store, clocks that differ) and is scoring; then the earlier one takes its own back. A run
that was there before has no such place in the line, and takes its claim back for whomever it sees.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection
from functools import partial

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_modelmap.drivers.process.progress import look_up, say
from mlflow_modelmap.drivers.score.found import believed
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.machine.processes import read_process
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import is_claim, left_over
from mlflow_modelmap.tracking.runs.find_score import attempts, scores_among
from mlflow_modelmap.tracking.runs.left_overs import end_left_over
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.words.one_line import one_line

_SECONDS = 3.0
"""How often it is looked at most, whether a claim still holds."""
_LOOK_SECONDS = 0.1
_YIELD_SECONDS = 2.0
"""How long a later claim, which has seen an earlier one, has to go."""
_LOOKS = 3
"""As many looks at the store it has in any case: one may take seconds."""
_OWNER_SECONDS = 5.0
"""How long the owner of a run that was given has to end it, once all is logged."""


class Held(Exception):
    """Another process is making this score; `run` is where."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.info.run_id)
        self.run = run


def look(
    prepared: Prepared,
    experiment_id: str,
    store: MlflowClient,
    *,
    own: OpenRun | None = None,
    formerly: bool = True,
    damaged: Collection[str] = (),
    others: list[Run] | None = None,
) -> Point | None:
    """The score, if an experiment holds it by now; what killed work left of it is ended.

    Parameters
    ----------
    own
        The run in which it is about to be made. If that was made for it, only those that began
        before it hold it off, and those that were there before and were claimed later.
    formerly
        Whether what version 0.1.0 would have called it is asked for too.
    damaged
        Ids of runs that turned out not to hold it.
    others
        Takes the claims of those that began after `own`.

    Raises
    ------
    Held
        If another process is making it.
    """
    names = prepared.identities if formerly else (prepared.identity,)
    runs = attempts(names, [experiment_id], store)
    there = believed(
        prepared,
        (p for p in scores_among(runs, texts=len(prepared.texts)) if p.run_id not in damaged),
    )
    if there is not None:
        return there
    later = False
    for run in sorted(runs, key=lambda run: (run.info.start_time or 0, run.info.run_id)):
        if own is not None and run.info.run_id == own.run_id:
            later = own.owned
        elif left_over(run):
            end(run, store)
        elif is_claim(run):
            if not later or schema.TAG_HEARTBEAT in run.data.tags:
                raise Held(run)
            if others is not None:
                others.append(run)
    return None


def claim(prepared: Prepared, run: OpenRun, damaged: Collection[str] = ()) -> None:
    """Make sure that a run, whose identity is written, is the first that makes this score.

    Parameters
    ----------
    damaged
        As for `look`.

    Raises
    ------
    Held
        If another process was faster; a run that was made for it then goes, and one that was there
        before has claimed nothing.
    """
    try:
        seen = partial(look, own=run, formerly=False, damaged=damaged)
        met: float | None = None
        while True:
            others: list[Run] = []
            began = time.monotonic()
            there = seen(prepared, run.experiment_id, run.store, others=others)
            if there is not None or not others:
                break
            now = time.monotonic()
            met = met or now
            if now - met > max(_YIELD_SECONDS, _LOOKS * (now - began)):
                raise Held(others[0])
            look_up()
            time.sleep(_LOOK_SECONDS)
        if there is not None:
            raise Held(find_run(there.run_id, run.store))
    except Held:
        run.in_vain = run.owned
        if not run.owned:
            run.store.delete_tag(run.run_id, schema.TAG_IDENTITY)
            time.sleep(random.uniform(0, 1))  # two that saw each other do not meet again
        raise


def still_held(run_id: str, store: MlflowClient) -> bool:
    """Whether a claim still holds."""
    return is_claim(find_run(run_id, store))


def wait_for(held: Held, store: MlflowClient, shown: bool) -> None:
    """Wait for as long as the claim of another process holds."""
    say(f"{who(held.run)} is making this score; waiting for it (--again does not wait).", shown)
    pause = 0.2
    while still_held(held.run.info.run_id, store):
        look_up()
        time.sleep(pause)
        pause = min(1.5 * pause, _SECONDS)
    until = time.monotonic() + _OWNER_SECONDS
    while time.monotonic() < until and _is_let_go(find_run(held.run.info.run_id, store)):
        look_up()
        time.sleep(0.2)


def _is_let_go(run: Run) -> bool:
    """Whether a run holds its score, and waits for its owner to end it."""
    return run.info.status == "RUNNING" and schema.TAG_PROCESS not in run.data.tags


def who(run: Run) -> str:
    """Which process works on a run, within a sentence."""
    process = read_process(run.data.tags.get(schema.TAG_PROCESS, ""))
    where = f"Process {process.pid} on {one_line(process.host)[:100]!r}" if process else "A process"
    return f"{where} (run {run.info.run_id})"


def end(run: Run, store: MlflowClient) -> None:
    """End a run that is left over, where that is permitted."""
    try:
        end_left_over(run.info.run_id, store)
    except MlflowException:
        return  # somebody else's, and not ours to end
