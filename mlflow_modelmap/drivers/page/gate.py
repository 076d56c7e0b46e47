"""Driver: a gate's decision for the server page; `gate_view.js` shows it."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.gate.record import DECISION, EXIT_CODES
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import plain, records
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.store.server_store import ServerStore
from mlflow_modelmap.words.one_line import one_line

_NUMBERS = (
    "kl",
    "kl_se",
    "bits_per_byte_difference",
    "bits_per_byte_difference_se",
    "confidence",
    "texts",
)
_LIMIT_COLUMNS = (
    *("quantity", "value", "se", "low", "high", "limit", "verdict", "texts_needed"),
    "within_noise",
)
_MOST_LIMITS = 20
"""Each is a chart; a gate has two."""
_MODEL_COLUMNS = ("name", "run_id", "model", "revision", "precision", "step", "bits_per_byte")


def gate_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What a gate decided and on what grounds, with links to what may be read of its two scores.

    Returns
    -------
    dict
        ``verdict``, ``paragraph``; ``limits``: ``quantity``, ``value``, ``se``, ``low``, ``high``,
        ``limit``, ``verdict``, ``texts_needed``; ``models``: ``role`` and what `GateDecision` says
        of each, with ``experiment``, None where its run was deleted or may not be read; KL and
        difference of bits per byte with standard errors, ``confidence``, ``texts``.

    Raises
    ------
    TrackingError
        If ``decision.json`` is missing or damaged.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        run_id = run.info.run_id
        root = store.get_run(run_id).info.artifact_uri
        decision = read_artifact(run_id, root, DECISION, cast(MlflowClient, store))
        with whole(run):
            table = pd.DataFrame(decision["limits"][:_MOST_LIMITS])
            if "within_noise" not in table:  # gates of version 0.1 do not say
                table["within_noise"] = False
            limits = records(table, _LIMIT_COLUMNS)
            for of in (decision, *limits):
                if of["verdict"] not in EXIT_CODES:
                    raise ValueError(f"verdict {of['verdict']!r}")
            for of in limits:
                if (
                    of["value"] is None
                    or of["limit"] is None
                    or not isinstance(of["quantity"], str)
                ):
                    raise ValueError("a limit without a quantity or a number")
            return {
                "verdict": decision["verdict"],
                "paragraph": one_line(str(decision["paragraph"])),
                "limits": limits,
                "models": [
                    {"role": role, **{name: plain(decision[role][name]) for name in _MODEL_COLUMNS}}
                    for role in ("candidate", "reference")
                ],
                **{name: plain(decision[name]) for name in _NUMBERS},
            }

    # Of all readers alike; what this one may read is asked anew.
    decided = cache.get(key(run, "gate"), made)
    runs = store.runs_by_id([str(of["run_id"]) for of in decided["models"]])
    where = {run_id: of.info.experiment_id for run_id, of in runs.items()}
    models = [{**of, "experiment": where.get(of["run_id"])} for of in decided["models"]]
    return {**decided, "models": models}
