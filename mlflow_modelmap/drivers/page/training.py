"""Driver: a trajectory run for the server page; `training_view.js` shows it."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import label, records
from mlflow_modelmap.drivers.page.opened import Opened, key, units_of_run, whole
from mlflow_modelmap.figures import style
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.trajectory.anomalies import anomaly_in_words
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

_KL_COLUMNS = ("step_from", "step", "kl", "se")
_EXPONENT_COLUMNS = ("t0", "t1", "exponent", "low", "high", "r2")
_COLUMNS = {
    "points": ("trajectory", "step", "bits_per_byte"),
    "kl_previous": ("trajectory", *_KL_COLUMNS),
    "diffusion": ("trajectory", "space", *_EXPONENT_COLUMNS),
    "anomalies": ("trajectory", "step", "kind", "times_trend", "score", "space"),
    "siblings": ("trajectory", "outlier"),
}
SPACES = {"q": "log-likelihoods", "w": "weights", "exp_q": "likelihoods"}
"""What an exponent is of, by the name of its space."""


def trajectory_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What a trajectory run measured, by trajectory.

    Returns
    -------
    dict
        ``trajectories``: ``name``, ``colour``, ``kl_previous`` (``step_from``, ``step``, ``kl``,
        ``se``, ``low``, ``high``), ``bits_per_byte`` (``step``, ``value``), ``exponents``
        (``space``, ``t0``, ``t1``, ``exponent``, ``low``, ``high``, ``r2``); ``anomalies``:
        ``trajectory``, ``step``, ``what``.

    Raises
    ------
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        names = ("points", "kl_previous", "diffusion", "anomalies")
        read = load_study(
            run.info.run_id,
            schema.KIND_TRAJECTORY,
            tables=names,
            optional=("siblings",),
            columns=_COLUMNS,
            limits={"": PAGE},
            store=cast(MlflowClient, store),
        )
        with whole(run):
            return _by_trajectory(read.tables, units_of_run(read.metrics))

    return cache.get(key(run, "trajectory"), made)


def _by_trajectory(tables: dict[str, pd.DataFrame], texts: float | None) -> dict[str, Any]:
    previous, diffusion = tables["kl_previous"], tables["diffusion"]
    points = tables["points"].sort_values("step")
    trajectories = []
    colours = style.colours(previous["trajectory"])
    for name in dict.fromkeys(previous["trajectory"]):
        own = previous[previous["trajectory"] == name].sort_values("step")
        marks = points[points["trajectory"] == name]
        trajectories.append(
            {
                "name": label(name),
                "colour": style.colour_of(name, colours),
                "kl_previous": kl_records(own, texts),
                "bits_per_byte": [
                    {"step": int(step), "value": float(value)}
                    for step, value in zip(marks["step"], marks["bits_per_byte"], strict=True)
                    if math.isfinite(value)
                ],
                "exponents": records(
                    diffusion[diffusion["trajectory"] == name], ("space", *_EXPONENT_COLUMNS)
                ),
            }
        )
    return {
        "trajectories": trajectories,
        "spaces": SPACES,
        "anomalies": _anomalies(tables["anomalies"], tables.get("siblings")),
    }


def kl_records(table: pd.DataFrame, texts: float | None = None) -> list[dict[str, Any]]:
    """Rows of ``step_from``, ``step``, ``kl``, ``se`` with their 95 % intervals.

    From fewer than 10 `texts` there are none.
    """
    low, high = confidence_interval(table["kl"], table["se"], texts=texts)
    return records(table.assign(low=low, high=high), (*_KL_COLUMNS, "low", "high"))


def _anomalies(found: pd.DataFrame, siblings: pd.DataFrame | None) -> list[dict[str, Any]]:
    rows = [
        {
            "trajectory": label(row["trajectory"]),
            "step": int(row["step"]),
            "what": anomaly_in_words(
                row["kind"],
                row["times_trend"],
                row["score"],
                "distance of the weights" if row["space"] == "w" else "KL",
            ),
        }
        for row in found.to_dict("records")
    ]
    outlying = siblings[siblings["outlier"].astype(bool)] if siblings is not None else None
    if outlying is not None and len(outlying):
        rows += [
            {"trajectory": label(name), "step": None, "what": "outlying training"}
            for name in dict.fromkeys(outlying["trajectory"])
        ]
    return rows
