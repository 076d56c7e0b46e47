"""Driver: how far a sweep is, for whoever asks from another shell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mlflow_modelmap.drivers.score.workers.progress import name_at_work
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import left_over
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run, kind_of
from mlflow_modelmap.tracking.runs.search import search_runs
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.one_line import one_line

_MOST = 10**15
"""No number of a sweep is larger."""
_SHOWN = 250


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is, as its run and those of its models say.

    Attributes
    ----------
    run_id, name, status
        Of the sweep's run; status as MLflow has it.
    models
        How many it has; None where it did not say.
    scored, skipped, failed
        How many came to which end; skipped is None where it did not say.
    working
        Names of the models that are being scored just now.
    tokens_per_second, seconds_left
        Of all workers, as the sweep last said, at `at` (UTC).
    workers
        What works.
    gone
        Why it does not go on, where it was killed; None where it lives or has ended.
    """

    run_id: str
    name: str
    status: str
    models: int | None
    scored: int
    skipped: int | None
    failed: int
    working: tuple[str, ...]
    tokens_per_second: float | None
    seconds_left: float | None
    workers: str | None
    at: str | None
    gone: str | None


def sweep_status(run_id: str) -> SweepStatus:
    """How far the sweep with this run is.

    Raises
    ------
    InputError
        If there is no such run, or it is no sweep.
    TrackingError
        If the store cannot answer.
    """
    with quiet():
        store = check_reachable()
        run = find_run(run_id, store)
        if kind_of(run) != schema.KIND_SWEEP:
            raise InputError(f"Run {run_id} is no sweep; `modelmap sweep` prints a sweep's id.")
        under = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"
        children = search_runs([run.info.experiment_id], under, store)
    said = _said(run.data.tags.get(schema.TAG_PROGRESS))
    ends = Counter(child.info.status for child in children)
    skipped, goes_on = said.get("skipped"), run.info.status == "RUNNING" and left_over(run) is None
    metrics = run.data.metrics
    if skipped is None:
        skipped = _counted(metrics, "modelmap/skipped")
    return SweepStatus(
        run_id=run_id,
        name=one_line(run.info.run_name or "")[:_SHOWN],
        status=run.info.status,
        models=said.get("models"),
        scored=ends["FINISHED"],
        skipped=skipped,
        failed=max(said.get("failed", 0), _counted(metrics, "modelmap/failed") or 0),
        working=tuple(
            sorted(
                {
                    # A cluster's have no runs yet; some have come to their end since it was said.
                    *(set(said.get("at_work", ()) if goes_on else ()) - _names(children)),
                    *(
                        one_line(child.info.run_name or child.info.run_id)[:_SHOWN]
                        for child in children
                        if child.info.status == "RUNNING" and left_over(child) is None
                    ),
                }
            )
        ),
        tokens_per_second=said.get("tokens_per_second"),
        seconds_left=said.get("seconds_left") if run.info.status == "RUNNING" else None,
        workers=said.get("workers"),
        at=said.get("at"),
        gone=left_over(run),
    )


def _names(children: Sequence[Run]) -> set[str]:
    return {name_at_work(child.info.run_name or "") for child in children}


def _counted(metrics: Mapping[str, float], name: str) -> int | None:
    value = metrics.get(name)
    return int(value) if value is not None and 0 <= value <= _MOST else None


def _said(written: str | None) -> dict[str, Any]:
    """What the sweep wrote down; nothing of what is no such thing: anyone can write a tag."""
    try:
        held = json.loads(written or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(held, dict):
        return {}
    counts, numbers = ("models", "skipped", "failed"), ("tokens_per_second", "seconds_left")
    texts, names = ("workers", "at"), held.get("at_work")
    names = names if isinstance(names, list) else []
    return {
        **{k: held[k] for k in counts if type(held.get(k)) is int and 0 <= held[k] <= _MOST},
        **{
            k: held[k]
            for k in numbers
            if type(held.get(k)) in (int, float) and 0 <= held[k] <= _MOST
        },
        **{k: one_line(held[k])[:_SHOWN] for k in texts if isinstance(held.get(k), str)},
        "at_work": [one_line(name)[:_SHOWN] for name in names if isinstance(name, str)],
    }
