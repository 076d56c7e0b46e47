"""Tracking: how a run ends - FINISHED once the store has confirmed it, else with its reason.

No signal comes in between: a second Ctrl-C waits until the run is ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from mlflow.entities import RunTag

from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.machine.signals import shielded
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import WITHOUT_A_WORD, let_go, worked_on_for
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.store.client import briefly
from mlflow_modelmap.tracking.store.failures import STORE_ERRORS, is_busy, not_written
from mlflow_modelmap.words.reason import reason_with_type
from mlflow_modelmap.words.redact import redact

STOPPED = "Stopped before the end."
_REASON_CHARACTERS = 2000
_LONG_SECONDS = 60.0
"""After which it is looked whether somebody took a run for left over; that needs a clock that is
wrong or minutes without a sign."""
_PATIENCE_SECONDS = 45.0
"""How long a database that somebody else holds is asked again to take a run's end."""


def finish_run(run: OpenRun) -> None:
    """End a run as FINISHED if it was made here, and then do what waited for that.

    Raises
    ------
    TrackingError
        If the store does not confirm it.
    """
    with shielded():
        try:
            if worked_on_for(run.run_id) > _LONG_SECONDS:
                _patiently(lambda: _take_back(run), _PATIENCE_SECONDS)
            if run.owned:
                end_patiently(run, "FINISHED")
        except STORE_ERRORS as error:
            what = f"Run {run.run_id} ({run.name!r}) is logged, but cannot be ended"
            raise not_written(what, run.store.tracking_uri, error) from error
        if not run.owned:
            let_go(run.run_id, run.store)
        run.ended = True
        for then in run.when_ended:
            then()


def _take_back(run: OpenRun) -> None:
    """Delete what another machine said of a run that gave no sign while it loaded a large model.

    With that it would count as failed for ever, although it is logged.
    """
    tags = run.store.get_run(run.run_id).data.tags
    said = tags.get(schema.TAG_ERROR, "")
    if said.startswith(WITHOUT_A_WORD):
        for tag in (schema.TAG_NOTE, schema.TAG_ERROR):  # by the last a second try finds it
            if tags.get(tag) == said:
                run.store.delete_tag(run.run_id, tag)


def fail_run(run: OpenRun, error: BaseException) -> None:
    """Mark a run FAILED (KILLED where somebody stopped it) with its reason in one sentence."""
    status, why = verdict_of(error)
    with shielded(), briefly():
        # The store itself may be what failed: the error on its way up says more than one from here,
        # and must not wait for minutes at each of many runs.
        if run.in_vain:
            with contextlib.suppress(Exception):
                run.store.delete_run(run.run_id)
                run.ended = True
                return
        with contextlib.suppress(Exception):
            said = [RunTag(schema.TAG_ERROR, why), RunTag(schema.TAG_NOTE, why)]
            run.store.log_batch(run.run_id, tags=said)
        with contextlib.suppress(Exception):
            _terminate(run, status, 0.0)
        run.ended = True


def verdict_of(error: BaseException) -> tuple[str, str]:
    """The status of a run whose work ended with an error, and why in one sentence."""
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return "KILLED", STOPPED
    if isinstance(error, ModelMapError):  # a sentence already
        return "FAILED", redact(str(error))[:_REASON_CHARACTERS]
    return "FAILED", reason_with_type(error, _REASON_CHARACTERS)


def end_patiently(run: OpenRun, status: str) -> None:
    """Give a run its last status; where somebody else holds the database, as soon as it is free."""
    _terminate(run, status, _PATIENCE_SECONDS)


def _terminate(run: OpenRun, status: str, patience: float) -> None:
    _patiently(lambda: run.store.set_terminated(run.run_id, status), patience)


def _patiently(do: Callable[[], None], patience: float) -> None:
    """Do it; where somebody else holds the database, again for so many seconds."""
    until, pause = time.monotonic() + patience, 0.5
    while True:
        try:
            return do()
        except STORE_ERRORS as error:
            if time.monotonic() + pause > until or not is_busy(error):
                raise
        time.sleep(pause)
        pause = min(2 * pause, 4.0)
