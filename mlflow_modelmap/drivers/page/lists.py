"""Driver: which experiments and runs the server page lists."""

from __future__ import annotations

import json
import re
from typing import Any

from mlflow.entities import Experiment, Run

from mlflow_modelmap.drivers.gate.record import EXIT_CODES
from mlflow_modelmap.drivers.page.readable import KINDS, find_experiment
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.readable import kind_of, unfinished
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.store.server_store import ServerStore
from mlflow_modelmap.words.one_line import one_line

MOST_RUNS = 500
"""Runs of one kind that an experiment's list holds, the latest ones."""

_ANY_KIND = f"tags.`{schema.TAG_KIND}` LIKE '%'"


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
        for run in store.search(list(known), of_kind(kind)):
            if unfinished(run):
                continue
            seen(run)
            of = counts[run.info.experiment_id]
            of[kind] = of.get(kind, 0) + 1
    # An experiment with scores alone is found by any one of them: there may be ten thousand.
    rest = [where for where in known if where not in counts]
    while found := store.search(rest, _ANY_KIND, most=1):
        seen(found[0])
        rest.remove(found[0].info.experiment_id)
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
        for run in store.search([experiment_id], of_kind(kind), most=MOST_RUNS)
        if not unfinished(run)
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
    if store.search([experiment.experiment_id], of_kind(schema.KIND_SCORE), most=1):
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


def _note(run: Run) -> str:
    parts = []
    if kind_of(run) == schema.KIND_GATE:
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
