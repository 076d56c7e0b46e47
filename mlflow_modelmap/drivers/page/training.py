"""Driver: KL along training for the server page, of trajectory runs and monitored trainings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, cast

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.readable import Opened, key, whole
from mlflow_modelmap.drivers.page.scale import records
from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map.map_data import one_line
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.trajectory.anomalies import anomaly_in_words
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

_KL_COLUMNS = ("step_from", "step", "kl", "se")
_EXPONENT_COLUMNS = ("t0", "t1", "exponent", "low", "high", "r2")
_SPACES = {"q": "log-likelihoods", "w": "weights", "exp_q": "likelihoods"}


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
            store=cast(MlflowClient, store),
        )
        with whole(run):
            return _by_trajectory(read.tables)

    return cache.get(key(run, "trajectory"), made)


def _by_trajectory(tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    previous, diffusion = tables["kl_previous"], tables["diffusion"]
    points = tables["points"].sort_values("step")
    trajectories = []
    colours = style.colours(previous["trajectory"])
    for name in dict.fromkeys(previous["trajectory"]):
        own = previous[previous["trajectory"] == name].sort_values("step")
        low, high = confidence_interval(own["kl"], own["se"])
        marks = points[points["trajectory"] == name]
        trajectories.append(
            {
                "name": one_line(name),
                "colour": style.colour_of(name, colours),
                "kl_previous": records(
                    own.assign(low=low, high=high), (*_KL_COLUMNS, "low", "high")
                ),
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
        "spaces": _SPACES,
        "anomalies": _anomalies(tables["anomalies"], tables.get("siblings")),
    }


def _anomalies(found: pd.DataFrame, siblings: pd.DataFrame | None) -> list[dict[str, Any]]:
    rows = [
        {
            "trajectory": one_line(row["trajectory"]),
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
            {"trajectory": one_line(name), "step": None, "what": "outlying training"}
            for name in dict.fromkeys(outlying["trajectory"])
        ]
    return rows


def monitor_payload(store: ServerStore, opened: Opened) -> dict[str, Any]:
    """What a monitored training recorded so far, from its metrics; as `trajectory_payload`.

    Never kept, because the training may be going on.
    """
    run = opened.run
    values = {
        name: _history(store, run, name)
        for name in ("kl_previous", "kl_previous_se", "kl_reference", "kl_reference_se")
    }
    exponent = {
        end: _history(store, run, f"diffusion_exponent{end}") for end in ("", "_low", "_high")
    }
    flagged = _history(store, run, "anomaly")
    bits = _history(store, run, "bits_per_byte")
    name = run.data.tags.get(schema.TAG_TRAJECTORY) or run.info.run_name or run.info.run_id
    return {
        "trajectories": [
            {
                "name": one_line(name),
                "colour": style.PALETTE[0],
                "kl_previous": _with_interval(
                    values["kl_previous"], values["kl_previous_se"], sorted(bits)
                ),
                "kl_reference": _with_interval(
                    values["kl_reference"], values["kl_reference_se"], ()
                ),
                "bits_per_byte": [{"step": s, "value": v} for s, v in sorted(bits.items())],
                "exponents": [
                    {
                        "space": "q",
                        "t0": None,
                        "t1": step,
                        "exponent": value,
                        "low": exponent["_low"].get(step),
                        "high": exponent["_high"].get(step),
                        "r2": None,
                    }
                    for step, value in sorted(exponent[""].items())
                ],
            }
        ],
        "spaces": _SPACES,
        "anomalies": [
            {"trajectory": one_line(name), "step": step, "what": what}
            for step, what in _flagged(run, flagged)
        ],
    }


def _flagged(run: Run, flags: dict[int, float]) -> list[tuple[int, str]]:
    """The steps that break continuity, in the words of the run's tag where it has any."""
    said = re.split(r"; (?=step \d+: )", run.data.tags.get(schema.TAG_ANOMALY, ""))
    found = [re.fullmatch(r"step (\d+): (.*)", text, re.DOTALL) for text in said]
    words = {int(of[1]): one_line(of[2]) for of in found if of}
    words |= {
        step: "breaks continuity" for step, flag in flags.items() if flag and step not in words
    }
    return sorted(words.items())


def _history(store: ServerStore, run: Run, name: str) -> dict[int, float]:
    """The latest value at each step."""
    metric = f"{schema.ARTIFACT_FOLDER}/{name}"
    if metric not in run.data.metrics:
        return {}
    history = store.metric_history(run.info.run_id, metric)
    return {int(m.step): float(m.value) for m in history if math.isfinite(m.value)}


def _with_interval(
    kl: dict[int, float], se: dict[int, float], steps: Sequence[int]
) -> list[dict[str, Any]]:
    before = dict(zip(list(steps)[1:], steps, strict=False))
    rows = []
    for step, value in sorted(kl.items()):
        error = se.get(step)
        low, high = confidence_interval(value, error) if error is not None else (None, None)
        rows.append(
            {
                "step_from": before.get(step),
                "step": step,
                "kl": value,
                "se": error,
                "low": None if low is None else float(low),
                "high": None if high is None else float(high),
            }
        )
    return rows
