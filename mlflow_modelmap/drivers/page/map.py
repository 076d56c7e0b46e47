"""Driver: a model map for the server page - its drawing, its members' tags, any pair's KL."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.readable import Opened, key, whole
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.figures.map.map import COORDINATES
from mlflow_modelmap.figures.map.map_data import groups_colouring, map_data, one_line, rounded
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_GROUPS = 60
"""Values of a tag beyond which colours tell nothing apart."""
# Long, or different for every run.
_NO_COLOURING = {"mlflow.runName", "mlflow.note.content", schema.TAG_IDENTITY, schema.TAG_ERROR}


class Squares(NamedTuple):
    """KL between all points of a map and its standard errors, bits/byte, (K, K)."""

    kl: np.ndarray
    se: np.ndarray


def map_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What is drawn of a map; see `figures.map.map_data`.

    Raises
    ------
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        points, near = _tables(store, run, "points", "nearest")
        _check_points(run, points)
        metrics, params = run.data.metrics, run.data.params
        shares = (metrics.get(f"modelmap/explained_{k}") for k in (1, 2, 3))
        se = points.get("bits_per_byte_se", pd.Series(0.0, index=points.index))
        with whole(run):
            drawn = map_data(points, near, explained=[s for s in shares if s is not None])
        return {
            **drawn,
            "tsne": bool(params.get("modelmap.perplexity_used")),
            "perplexity": params.get("modelmap.perplexity_used"),
            "entropy_bound": metrics.get("modelmap/entropy_bound"),
            "bits_per_byte_se": [rounded(value) for value in se],
        }

    return cache.get(key(run, "map"), made)


def pair_payload(
    store: ServerStore, opened: Opened, cache: PageCache, a: int, b: int
) -> dict[str, Any]:
    """KL between two points of a map, by row, with error, interval and words.

    Raises
    ------
    InputError
        If a row is none of the map's.
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run
    drawn = map_payload(store, opened, cache)
    names = drawn["names"]
    for row in (a, b):
        if not 0 <= row < len(names):
            raise InputError(
                f"There is no point {row} on this map; its points are 0 to {len(names) - 1}."
            )

    def made() -> Squares:
        tables = _tables(store, run, "kl", "kl_standard_error")
        with whole(run):
            kl, se = (table.drop(columns="point").to_numpy(dtype=np.float64) for table in tables)
        if kl.shape != (len(names), len(names)) or se.shape != kl.shape:
            raise TrackingError(
                f"Run {run.info.run_id} is damaged: its KL table of shape {kl.shape} does not fit "
                f"its {len(names)} points; make it again."
            )
        return Squares(kl, se)

    squares = cache.get(key(run, "squares"), made)
    kl, se = float(squares.kl[a, b]), float(squares.se[a, b])
    low, high = confidence_interval(kl, se)
    return {
        "kl": kl,
        "se": se,
        "low": float(low),
        "high": float(high),
        "words": in_words(kl, se),
        "points": [
            {
                "row": row,
                "name": names[row],
                "bits_per_byte": drawn["bits_per_byte"][row],
                "bits_per_byte_se": drawn["bits_per_byte_se"][row],
            }
            for row in (a, b)
        ],
    }


def members_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What the store says now of the runs that a map was made of.

    A run that was deleted, or lies in an experiment that the reader may not read, has no link and
    no tags; what the map itself holds of the point stays.

    Returns
    -------
    dict
        ``experiments``: one id a point, None without a link; ``colourings``: one a tag that tells
        points apart, with ``values``, one a point.
    """
    ids = map_payload(store, opened, cache)["run_id"]
    runs = store.runs_by_id(ids)
    members = [runs.get(run_id) for run_id in ids]
    return {
        "experiments": [run.info.experiment_id if run else None for run in members],
        "colourings": _tag_colourings(members),
    }


def _tag_colourings(members: Sequence[Run | None]) -> list[dict[str, Any]]:
    """The user's own tags first, then ours, then MLflow's."""
    tags: list[Mapping[str, str]] = [run.data.tags if run else {} for run in members]
    count = Counter(name for of in tags for name in of)
    found = []
    for name in sorted(
        count, key=lambda n: (n.startswith("mlflow."), n.startswith("modelmap."), n)
    ):
        if name in _NO_COLOURING:
            continue
        values = [one_line(of[name]) if of.get(name) else None for of in tags]
        distinct = {value for value in values if value is not None}
        if len(distinct) < 2 and (not distinct or None not in values):
            continue
        numbers = _numbers(values)
        title = one_line(name)
        if numbers and len(distinct) > 6:
            found.append(
                {"kind": "scale", "column": f"tag:{name}", "title": title, "values": numbers}
            )
        elif len(distinct) <= MOST_GROUPS:
            entry = groups_colouring(values, f"tag:{name}", title)
            found.append({**entry, "values": values})
    return found


def _numbers(values: Sequence[str | None]) -> list[float | None] | None:
    """All of them as numbers, or None where one is none."""
    found: list[float | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        try:
            number = float(value)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        found.append(number)
    return found


def _tables(store: ServerStore, run: Run, *names: str) -> list[pd.DataFrame]:
    read = load_study(
        run.info.run_id, schema.KIND_MAP, tables=names, store=cast(MlflowClient, store)
    )
    return [read.tables[name] for name in names]


def _check_points(run: Run, points: pd.DataFrame) -> None:
    needed = {"point", "run_id", "bits_per_byte", *(c for of in COORDINATES.values() for c in of)}
    missing = sorted(needed - set(points.columns))
    if missing:
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: its points.parquet lacks the column "
            f"{missing[0]!r}; make it again."
        )
