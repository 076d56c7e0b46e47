"""Driver: what a worker does with a task - the pure part, or all of a score's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from mlflow_modelmap.drivers.score.prepare import Prepared, prepare_unscored
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.drivers.score.vector import Ready, vector
from mlflow_modelmap.drivers.score.workers.events import (
    Asked,
    Failure,
    HeldBy,
    Logged,
    Made,
    Whole,
)
from mlflow_modelmap.texts.text_set import TextSet

Progress = Callable[[int, int], None]
_ELSEWHERE = TextSet("texts", ("texts",))
"""In place of texts that whoever asked has."""


def do(work: Ready | Asked | Whole, progress: Progress | None = None) -> Any:
    """What came of a task; a failure is told and not raised.

    Raises
    ------
    KeyboardInterrupt
        And whatever else is no failure of the model.
    """
    try:
        if isinstance(work, Ready):
            return vector(work, progress)
        return _asked(work, progress) if isinstance(work, Asked) else _whole(work, progress)
    except Exception as error:
        return Failure.of(error)
    finally:
        from mlflow_modelmap.drivers.process.memory import free_memory

        free_memory()


@cache
def _tokens() -> TokenCache:
    """This process's."""
    return TokenCache(shared=True)


def _asked(work: Asked, progress: Progress | None) -> Made:
    def is_scored(prepared: Prepared) -> bool:
        return not work.again and not work.done.isdisjoint(prepared.identities)

    prepared = prepare_unscored(work.request, work.texts, is_scored)
    made = None
    if not is_scored(prepared):
        made = vector(_tokens().ready(prepared, again=work.again), progress)
    return Made(replace(prepared, texts=_ELSEWHERE), made)


def _whole(work: Whole, progress: Progress | None) -> Any:
    import mlflow

    from mlflow_modelmap.drivers.score.claims import Held
    from mlflow_modelmap.drivers.score.sweep_work import Work
    from mlflow_modelmap.tracking.runs.log_values import OpenRun
    from mlflow_modelmap.tracking.store.client import client
    from mlflow_modelmap.tracking.store.quiet import quiet

    mlflow.set_tracking_uri(work.store)
    mlflow.set_registry_uri(work.registry)
    with quiet():
        store = client()
        parent = OpenRun(store, work.parent_run_id, work.experiment_id, "", owned=False)
        one = Work(store, work.texts, work.experiment_id, lambda: parent, again=work.again)
        one.one_by_one, one.formerly = True, work.formerly
        scored = [0]

        def moved(done: int, total: int) -> None:
            scored[0] = done
            if progress is not None:
                progress(done, total)

        one.tokens, one.task, one.moved = _tokens(), work.task, moved
        try:
            return Logged(one.one(work.request), scored[0])
        except Held as held:
            return HeldBy(held.run.info.run_id)
