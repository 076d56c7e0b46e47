"""Driver: a training that is monitored, for the server page; `monitor_view.js` shows it."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.monitor.checkpoint_metrics import METRICS
from mlflow_modelmap.drivers.page.json_values import label, records
from mlflow_modelmap.drivers.page.opened import Opened
from mlflow_modelmap.drivers.page.training import SPACES, kl_records
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.figures import style
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.checkpoint_index import read_index
from mlflow_modelmap.tracking.runs.point import finite
from mlflow_modelmap.tracking.store.server_store import ServerStore


def monitor_payload(store: ServerStore, opened: Opened) -> dict[str, Any]:
    """What a monitored training recorded so far; as `trajectory_payload`.

    Never kept, because the training may be going on.

    Raises
    ------
    TrackingError
        If its table is missing or damaged, and there are no metrics in its place.
    """
    run = opened.run
    found = _recorded(store, run)
    scored = found.dropna(subset="bits_per_byte")
    before = scored["step"].shift()
    tags, info = run.data.tags, run.info
    name = label(tags.get(schema.TAG_TRAJECTORY) or info.run_name or info.run_id)
    previous, reference = (
        kl_records(_kl(found.assign(step_from=of), name), _texts(run))
        for name, of in (("kl_previous", before), ("kl_reference", None))
    )
    return {
        "trajectories": [
            {
                "name": name,
                "colour": style.PALETTE[0],
                "kl_previous": previous,
                "kl_reference": reference,
                "bits_per_byte": records(
                    scored.rename(columns={"bits_per_byte": "value"}), ("step", "value")
                ),
                "exponents": records(*_exponents(found)),
            }
        ],
        "reference": label(tags.get(schema.TAG_REFERENCE) or "") or None,
        "spaces": SPACES,
        "anomalies": [
            {"trajectory": name, "step": step, "what": what} for step, what in _flagged(run, found)
        ],
    }


def _texts(run: Run) -> float | None:
    """How many texts, or documents, checkpoints are scored on, where the run says it."""
    for name in ("modelmap.documents", "modelmap.texts"):
        written = run.data.params.get(name, "")
        if written.isdecimal() and len(written) < 16:
            return float(written)
    return None


def _recorded(store: ServerStore, run: Run) -> pd.DataFrame:
    """``step`` and every number of a checkpoint, NaN for none.

    From the table of checkpoints. What it does not list is sought among the metrics, and anomalies
    in any case: a model without finite values is no checkpoint.
    """
    try:
        index = read_index(store.get_run(run.info.run_id), cast(MlflowClient, store))
    except TrackingError:
        if schema.METRIC_BITS_PER_BYTE not in run.data.metrics:
            raise
        index = None
    columns = {}
    for name in (metric.name for metric in METRICS):
        if index is None or name not in index:
            columns[name] = _history(store, run, name)
            continue
        columns[name] = _listed(index, name)
        if name == "anomaly":
            columns[name] = columns[name].combine_first(_history(store, run, name))
    return pd.DataFrame(columns).sort_index().rename_axis("step").reset_index()


def _listed(index: pd.DataFrame, name: str) -> pd.Series:
    """A column of the table by step; what is no finite number is none."""
    values = pd.to_numeric(index[name], errors="coerce").astype(float)
    return values.where(np.isfinite(values)).set_axis(index["step"])


def _history(store: ServerStore, run: Run, name: str) -> pd.Series:
    """The latest value at each step."""
    metric = f"{schema.ARTIFACT_FOLDER}/{name}"
    history = store.metric_history(run.info.run_id, metric) if metric in run.data.metrics else []
    latest = {int(m.step): float(m.value) for m in history if finite(m.value) is not None}
    return pd.Series(latest, dtype=float)


def _kl(found: pd.DataFrame, name: str) -> pd.DataFrame:
    """One of the KL divergences: ``step_from``, ``step``, ``kl``, ``se``, where it was measured."""
    there = found.dropna(subset=name)
    kl, se = there[name], there[f"{name}_se"]
    return there[["step", "step_from"]].astype({"step_from": "Int64"}).assign(kl=kl, se=se)


def _exponents(found: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    there = found.dropna(subset="diffusion_exponent")
    named = {"step": "t1", "diffusion_exponent": "exponent"}
    ends = {f"diffusion_exponent_{end}": end for end in ("low", "high")}
    table = there.rename(columns=named | ends).assign(space="q", t0=None, r2=None)
    return table, ("space", "t0", "t1", "exponent", "low", "high", "r2")


def _flagged(run: Run, found: pd.DataFrame) -> list[tuple[int, str]]:
    """The steps that break continuity, in the words of the run's tag where it has any."""
    said = re.split(r"; (?=step \d+: )", run.data.tags.get(schema.TAG_ANOMALY, ""))
    parts = [re.fullmatch(r"step (\d{1,18}): (.*)", text, re.DOTALL) for text in said]
    words = {int(of[1]): label(of[2]) for of in parts if of}
    flagged = found.loc[found["anomaly"] > 0, "step"]
    words |= {int(step): "breaks continuity" for step in flagged if int(step) not in words}
    return sorted(words.items())
