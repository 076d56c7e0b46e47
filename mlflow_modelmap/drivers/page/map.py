"""Driver: a model map's drawing for the server page; `map_view.js` shows it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.readable import Opened, key, whole
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.figures.map.map import COORDINATES
from mlflow_modelmap.figures.map.map_data import map_data, rounded
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore


def map_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What is drawn of a map; see `figures.map.map_data`.

    Raises
    ------
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        points, near = map_tables(store, run, "points", "nearest")
        _check_points(run, points)
        metrics, params = run.data.metrics, run.data.params
        shares = (metrics.get(f"modelmap/explained_{k}") for k in (1, 2, 3))
        # Maps of the first versions have none.
        se = points.get("bits_per_byte_se", pd.Series(np.nan, index=points.index))
        with whole(run):
            drawn = map_data(points, near, explained=[s for s in shares if s is not None])
        return {
            **drawn,
            "tsne": bool(params.get("modelmap.perplexity_used")),
            "perplexity": params.get("modelmap.perplexity_used"),
            "entropy_bound": metrics.get("modelmap/entropy_bound"),
            "bits_per_byte_se": [rounded(value) if np.isfinite(value) else None for value in se],
        }

    return cache.get(key(run, "map"), made)


def map_tables(store: ServerStore, run: Run, *names: str) -> list[pd.DataFrame]:
    """Tables of a map's run by name.

    Raises
    ------
    TrackingError
        If one is missing or damaged.
    """
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
