"""Driver: which experiments and runs the server page lists."""

from __future__ import annotations

import json
import re
from typing import Any

from mlflow.entities import Experiment, Run

from mlflow_modelmap.drivers.gate.record import EXIT_CODES
from mlflow_modelmap.drivers.page.json_values import label
from mlflow_modelmap.drivers.page.opened import KINDS, find_experiment, unit
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.held import held_by_experiment
from mlflow_modelmap.tracking.runs.point import finite, started
from mlflow_modelmap.tracking.runs.readable_or_refused import kind_of, unfinished
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.store.server_store import ServerStore
from mlflow_modelmap.words.one_line import one_line

MOST_RUNS = 500
"""Runs of one kind that an experiment's list holds, the latest ones."""


def list_experiments(store: ServerStore) -> dict[str, Any]:
    """The experiments with runs of mlflow-modelmap, the one used last first.

    Returns
    -------
    dict
        ``experiments``: ``id``, ``name``, ``kinds`` (runs to open, by kind), ``latest`` (ms);
        ``empty``: what to do where there is none.
    """
    names: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    latest: dict[str, int] = {}
    for held in held_by_experiment(store, tuple(KINDS)):
        where = held.experiment_id
        names[where] = held.name
        of = counts.setdefault(where, {})
        latest[where] = max(latest.get(where, 0), held.latest)
        if held.kind in KINDS and held.complete:
            of[held.kind] = of.get(held.kind, 0) + held.complete
    order = sorted(counts, key=lambda where: (-latest[where], where))
    return {
        "experiments": [
            {
                "id": where,
                "name": label(names[where]),
                "kinds": {kind: counts[where][kind] for kind in KINDS if kind in counts[where]},
                "latest": latest[where] or None,
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
    units: dict[str, str] = {}  # by text set: few, and each is one question to the store
    runs = [
        {
            "run_id": run.info.run_id,
            "name": label(run.info.run_name or run.info.run_id),
            "kind": kind,
            "status": run.info.status,
            "start_time": started(run) or None,
            "note": _note(run, _unit(store, run, units)),
            "verdict": _verdict(run),
        }
        for kind in KINDS
        for run in store.search([experiment_id], of_kind(kind), most=MOST_RUNS)
        if not unfinished(run)
    ]
    return {
        "experiment": {"id": experiment_id, "name": label(experiment.name)},
        "runs": runs,
        "titles": KINDS,
        "empty": _nothing(store, experiment),
    }


def _nothing(store: ServerStore, experiment: Experiment) -> str:
    name = one_line(experiment.name)
    command = f"`modelmap map --experiment {_quoted(name)}`"
    kinds = (schema.KIND_SCORE, schema.KIND_VECTORS)
    if any(store.search([experiment.experiment_id], of_kind(kind), most=1) for kind in kinds):
        return (
            f"The experiment {name!r} holds scored models but no map yet; draw one with {command}."
        )
    return (
        f"The experiment {name!r} holds no runs of mlflow-modelmap; score models with `modelmap "
        f"score MODEL --experiment {_quoted(name)}`, then draw a map with {command}."
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w./-]+", name) else json.dumps(name, ensure_ascii=False)


def _verdict(run: Run) -> str | None:
    """Of a gate; None for runs of other kinds."""
    verdict = run.data.tags.get(schema.TAG_GATE)
    return verdict if verdict in EXIT_CODES else None


def _unit(store: ServerStore, run: Run, known: dict[str, str]) -> str:
    text_set = run.data.tags.get(schema.TAG_TEXT_SET) or ""
    if text_set not in known:
        known[text_set] = unit(store, run)
    return known[text_set]


def _note(run: Run, unit: str) -> str:
    parts = []
    if kind_of(run) == schema.KIND_GATE:
        candidate, reference = (
            label(run.data.params.get(f"modelmap.{of}", "unknown"))
            for of in ("candidate", "reference")
        )
        parts.append(f"{candidate} against {reference}")
    for key, word in (
        ("modelmap/points", "points"),
        ("modelmap/trajectories", "trajectories"),
        ("modelmap/checkpoints", "checkpoints"),
        ("modelmap/models", "models"),
        ("modelmap/texts", unit),
    ):
        value = finite(run.data.metrics.get(key))
        if value is not None:
            parts.append(f"{value:,.0f} {word}" if abs(value) < 1e15 else f"{value:.3g} {word}")
    if schema.TAG_CHECKPOINTS in run.data.tags:
        parts.append(f"{label(run.data.tags[schema.TAG_CHECKPOINTS])} checkpoints")
    name = run.data.tags.get(schema.TAG_TEXT_SET_NAME)
    return ", ".join([*parts, *([label(name)] if name else [])])
