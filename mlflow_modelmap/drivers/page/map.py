"""Driver: a model map's drawing for the server page; `map_view.js` shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.figures.map.map import COORDINATES
from mlflow_modelmap.figures.map.map_data import map_data, rounded
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE, PAGE_PAIRS
from mlflow_modelmap.tracking.runs.point import finite
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

_DEEP = COORDINATES["tsne", 3]
"""Which a map of many points does not have."""
_DRAWN = tuple(c for of in COORDINATES.values() for c in of if c not in _DEEP)
_NEEDED = ("point", "run_id", "bits_per_byte", *_DRAWN)
_DESCRIBED = ("trajectory", "step", "model_type", "precision", "layer")
_POINTS = (*_NEEDED, *_DEEP, *_DESCRIBED, "bits_per_byte_se", "noise_kl")
_NEAREST = ("point", "rank", "neighbour", "kl", "se")


def map_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What is drawn of a map; see `figures.map.map_data`.

    Raises
    ------
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        points, near = map_tables(store, run, {"points": _POINTS, "nearest": _NEAREST})
        _check_columns(run, "points", points, _NEEDED)
        _check_columns(run, "nearest", near, _NEAREST)
        metrics, params = run.data.metrics, run.data.params
        shares = (finite(metrics.get(f"modelmap/explained_{k}")) for k in (1, 2, 3))
        # Maps of the first versions have none.
        unknown = pd.Series(np.nan, index=points.index)
        se, noise = (points.get(name, unknown) for name in ("bits_per_byte_se", "noise_kl"))
        with whole(run):
            for column in _DESCRIBED:  # maps of other makers need not have them
                if column not in points:
                    points[column] = None
            drawn = map_data(points, near, explained=[s for s in shares if s is not None])
            errors, floors = (
                [rounded(value) if np.isfinite(value) else None for value in column.astype(float)]
                for column in (se, noise)
            )
        return {
            **drawn,
            "tsne": bool(params.get("modelmap.perplexity_used")),
            "perplexity": _number(params.get("modelmap.perplexity_used")),
            "entropy_bound": finite(metrics.get("modelmap/entropy_bound")),
            "bits_per_byte_se": errors,
            "noise_kl": floors,
        }

    return cache.get(key(run, "map"), made)


def map_tables(
    store: ServerStore, run: Run, columns: Mapping[str, Collection[str] | None]
) -> list[pd.DataFrame]:
    """Tables of a map's run by name, each with those of its columns that it has.

    Raises
    ------
    TrackingError
        If one is missing, damaged or larger than a page is made of.
    """
    read = load_study(
        run.info.run_id,
        schema.KIND_MAP,
        tables=tuple(columns),
        columns=columns,
        limits={"": PAGE, **dict.fromkeys(("kl", "kl_standard_error"), PAGE_PAIRS)},
        store=cast(MlflowClient, store),
    )
    return [read.tables[name] for name in columns]


def _check_columns(run: Run, name: str, table: pd.DataFrame, needed: Collection[str]) -> None:
    missing = sorted(set(needed) - set(table.columns))
    if missing:
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: its {name}.parquet lacks the column "
            f"{missing[0]!r}; make it again."
        )


def _number(written: str | None) -> float | None:
    try:
        number = float(written or "nan")
    except ValueError:
        return None
    return number if np.isfinite(number) else None
