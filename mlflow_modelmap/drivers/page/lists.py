"""Driver: which experiments and runs the server page lists, and which of them it opens."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mlflow.entities import Experiment, Run

from mlflow_modelmap.drivers.gate.record import EXIT_CODES
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.figures.map.map_data import one_line
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.store.server_store import ServerStore

KINDS = {
    schema.KIND_MAP: "Maps",
    schema.KIND_TRAJECTORY: "Training",
    schema.KIND_MONITOR: "Monitored trainings",
    schema.KIND_SCALE: "Scale",
    schema.KIND_LINEAGE: "Lineage",
    schema.KIND_GATE: "Gates",
}
"""The kinds of run that the page opens, in the order of its lists."""

MOST_RUNS = 500
"""Runs of one kind that an experiment's list holds, the latest ones."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
_EXPERIMENT_ID = re.compile(r"[0-9]{1,19}")
_ANY_KIND = f"tags.`{schema.TAG_KIND}` LIKE '%'"


class Opened(NamedTuple):
    """A run that may be shown, and the experiment it lies in."""

    run: Run
    experiment: Experiment


def list_experiments(store: ServerStore) -> dict[str, Any]:
    """The experiments with runs of mlflow-modelmap, the one used last first.

    Returns
    -------
    dict
        ``experiments``: ``id``, ``name``, ``kinds`` (runs to open, by kind), ``latest`` (ms);
        ``empty``: what to do where there is none.
    """
    known = {e.experiment_id: e for e in store.experiments()}
    counts: dict[str, dict[str, int]] = {}
    latest: dict[str, int] = {}

    def seen(run: Run) -> None:
        where = run.info.experiment_id
        counts.setdefault(where, {})
        latest[where] = max(latest.get(where, 0), run.info.start_time or 0)

    for kind in KINDS:
        for run in store.search(list(known), _of_kind(kind)):
            if not _shown(run):
                continue
            seen(run)
            of = counts[run.info.experiment_id]
            of[kind] = of.get(kind, 0) + 1
    # An experiment with scores alone is found by any one of them: there may be ten thousand.
    rest = [where for where in known if where not in counts]
    while one := next(store.search(rest, _ANY_KIND, most=1), None):
        seen(one)
        rest.remove(one.info.experiment_id)
    order = sorted(counts, key=lambda where: (-latest[where], where))
    return {
        "experiments": [
            {
                "id": where,
                "name": one_line(known[where].name),
                "kinds": counts[where],
                "latest": latest[where],
            }
            for where in order
        ],
        "titles": KINDS,
        "empty": "There are no runs of mlflow-modelmap here yet; score models with `modelmap score "
        "MODEL`, then draw a map of them with `modelmap map`.",
    }


def list_runs(store: ServerStore, experiment_id: str) -> dict[str, Any]:
    """The runs of an experiment that the page opens, latest first.

    Raises
    ------
    InputError
        If the experiment is not there, was deleted or may not be read.
    """
    experiment = find_experiment(store, experiment_id)
    runs = [
        {
            "run_id": run.info.run_id,
            "name": one_line(run.info.run_name or run.info.run_id),
            "kind": kind,
            "status": run.info.status,
            "start_time": run.info.start_time,
            "note": _note(run),
            "verdict": _verdict(run),
        }
        for kind in KINDS
        for run in store.search([experiment_id], _of_kind(kind), most=MOST_RUNS)
        if _shown(run)
    ]
    return {
        "experiment": {"id": experiment_id, "name": one_line(experiment.name)},
        "runs": runs,
        "titles": KINDS,
        "empty": _nothing(store, experiment),
    }


def _nothing(store: ServerStore, experiment: Experiment) -> str:
    name = one_line(experiment.name)
    command = f"`modelmap map --experiment {_quoted(name)}`"
    ours = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SCORE}'"
    if next(store.search([experiment.experiment_id], ours, most=1), None):
        return (
            f"The experiment {name!r} holds scored models but no map yet; draw one with {command}."
        )
    return (
        f"The experiment {name!r} holds no runs of mlflow-modelmap; score models with `modelmap "
        f"score MODEL --experiment {_quoted(name)}`, then draw a map with {command}."
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w./-]+", name) else json.dumps(name, ensure_ascii=False)


def _of_kind(kind: str) -> str:
    return f"tags.`{schema.TAG_KIND}` = '{kind}'"


def _shown(run: Run) -> bool:
    """Monitored trainings are shown while they go on, whatever becomes of them."""
    if run.data.tags.get(schema.TAG_KIND) == schema.KIND_MONITOR:
        return True
    return run.info.status == "FINISHED" and schema.TAG_ERROR not in run.data.tags


def _verdict(run: Run) -> str | None:
    """Of a gate; None for runs of other kinds."""
    verdict = run.data.tags.get(schema.TAG_GATE)
    return verdict if verdict in EXIT_CODES else None


def _note(run: Run) -> str:
    parts = []
    if run.data.tags.get(schema.TAG_KIND) == schema.KIND_GATE:
        candidate, reference = (
            one_line(run.data.params.get(f"modelmap.{of}", "unknown"))
            for of in ("candidate", "reference")
        )
        parts.append(f"{candidate} against {reference}")
    for key, words in (
        ("modelmap/points", "{:,.0f} points"),
        ("modelmap/trajectories", "{:,.0f} trajectories"),
        ("modelmap/checkpoints", "{:,.0f} checkpoints"),
        ("modelmap/models", "{:,.0f} models"),
        ("modelmap/texts", "{:,.0f} texts"),
    ):
        value = run.data.metrics.get(key)
        if value is not None:
            parts.append(words.format(value))
    if schema.TAG_CHECKPOINTS in run.data.tags:
        parts.append(f"{one_line(run.data.tags[schema.TAG_CHECKPOINTS])} checkpoints")
    name = run.data.tags.get(schema.TAG_TEXT_SET_NAME)
    return ", ".join([*parts, *([one_line(name)] if name else [])])


def find_experiment(store: ServerStore, experiment_id: str) -> Experiment:
    """An active experiment that may be read.

    Raises
    ------
    InputError
        If its id is none, it is not there, was deleted or may not be read.
    """
    if not _EXPERIMENT_ID.fullmatch(experiment_id):
        raise InputError(
            f"{experiment_id[:60]!r} is no experiment id, which is a number; open the list of "
            "experiments."
        )
    found = store.find_experiment(experiment_id)
    if found is None:
        raise InputError(
            f"There is no experiment {experiment_id} here that you may read; open the list of "
            "experiments."
        )
    if found.lifecycle_stage != "active":
        raise InputError(
            f"The experiment {experiment_id} was deleted; `mlflow experiments restore -x "
            f"{experiment_id}` brings it back."
        )
    return found


def open_run(store: ServerStore, run_id: str, kinds: Sequence[str] = tuple(KINDS)) -> Opened:
    """A run of mlflow-modelmap that may be shown.

    Raises
    ------
    InputError
        If its id is none, it is not there or may not be read, was deleted, is not finished, is of
        another kind, or written by a newer version.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"{run_id[:60]!r} is no run id, which is 32 letters and digits; copy one from the "
            "MLflow UI."
        )
    run = store.find_run(run_id)
    if run is None:
        raise InputError(
            f"There is no run {run_id} here that you may read; open the list of experiments."
        )
    if run.info.lifecycle_stage != "active":
        raise InputError(
            f"Run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` brings it back."
        )
    experiment = find_experiment(store, run.info.experiment_id)
    kind = run.data.tags.get(schema.TAG_KIND)
    if kind not in kinds:
        what = f"is of kind {one_line(kind)!r}" if kind else "is no run of mlflow-modelmap"
        raise InputError(
            f"Run {run_id} {what}, and this page shows runs of kind {', '.join(kinds)}; open it in "
            "the MLflow UI."
        )
    _check_schema(run)
    if not _shown(run):
        reason = run.data.tags.get(schema.TAG_ERROR)
        because = f" ({one_line(reason).rstrip('.')})" if reason else ""
        state = "failed" if reason else run.info.status.lower()
        raise InputError(
            f"Run {run_id} is {state}{because}, not finished; wait for it, or make it again."
        )
    return Opened(run, experiment)


def _check_schema(run: Run) -> None:
    written = run.data.tags.get(schema.TAG_SCHEMA, schema.SCHEMA_VERSION)
    if not written.isdecimal() or int(written) > int(schema.SCHEMA_VERSION):
        raise InputError(
            f"Run {run.info.run_id} was written by a newer mlflow-modelmap (schema "
            f"{one_line(written)[:20]}; this server reads {schema.SCHEMA_VERSION}); upgrade the "
            "server's."
        )


@contextlib.contextmanager
def whole(run: Run) -> Iterator[None]:
    """Say that a run is damaged, where what its artifacts hold does not fit together.

    Raises
    ------
    TrackingError
    """
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: what its artifacts hold does not fit together "
            f"({reason}); make it again."
        ) from error


def key(run: Run, what: str) -> tuple[str, int, str]:
    """What a finished run's part is kept under; a run that was opened again ends anew."""
    return run.info.run_id, run.info.end_time or 0, what


def head(opened: Opened) -> dict[str, Any]:
    """What every run's page says above: names, kind, state, text set and notices."""
    run, experiment = opened
    tags, params = run.data.tags, run.data.params
    return {
        "run_id": run.info.run_id,
        "name": one_line(run.info.run_name or run.info.run_id),
        "kind": tags[schema.TAG_KIND],
        "status": run.info.status,
        "start_time": run.info.start_time,
        "experiment": {"id": experiment.experiment_id, "name": one_line(experiment.name)},
        "text_set": tags.get(schema.TAG_TEXT_SET),
        "text_set_name": one_line(tags.get(schema.TAG_TEXT_SET_NAME) or "") or None,
        "texts": run.data.metrics.get("modelmap/texts"),
        "notices": _notices(params.get("modelmap.notices", "[]")),
    }


def _notices(written: str) -> list[str]:
    try:
        return [one_line(notice) for notice in json.loads(written)]
    except ValueError:  # longer than MLflow keeps
        return [one_line(written)]
