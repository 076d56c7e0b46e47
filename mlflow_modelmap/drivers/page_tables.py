"""Driver: scale and lineage runs for the server page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page_cache import PageCache
from mlflow_modelmap.drivers.page_runs import Opened, key, whole
from mlflow_modelmap.figures.map_data import one_line
from mlflow_modelmap.numerics.paper_scale import PAPER_SCALE
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.map_run import load_map_run
from mlflow_modelmap.tracking.server_store import ServerStore

_LINEAGE_COLUMNS = (
    "child",
    "parent",
    "generation",
    "kl",
    "se",
    "nearest",
    "nearest_kl",
    "source",
    "relation",
    "verdict",
)


def scale_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """Medians of a scale run's groups, beside the paper's.

    Returns
    -------
    dict
        ``groups``: ``group``, ``meaning`` (in the paper's words, or None), ``median``, ``mean``,
        ``sd``, ``n``, ``paper_median``; bits per byte.
    """
    run = opened.run
    meaning = {row.group: row.phrase for row in PAPER_SCALE}

    def made() -> dict[str, Any]:
        read = load_map_run(
            run.info.run_id, schema.KIND_SCALE, tables=("scale",), store=cast(MlflowClient, store)
        )
        with whole(run):
            columns = ("group", "median", "mean", "sd", "n", "paper_median")
            groups = records(read.tables["scale"], columns)
            return {"groups": [{**row, "meaning": meaning.get(row["group"])} for row in groups]}

    return cache.get(key(run, "scale"), made)


def lineage_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """A lineage run's rows, one a child and parent, roots first within each family.

    Returns
    -------
    dict
        ``rows``: ``child``, ``parent``, ``generation``, ``kl``, ``se``, ``nearest``,
        ``nearest_kl``, ``source``, ``relation``, ``verdict``.
    """
    run = opened.run

    def made() -> dict[str, Any]:
        read = load_map_run(
            run.info.run_id,
            schema.KIND_LINEAGE,
            tables=("lineage",),
            store=cast(MlflowClient, store),
        )
        with whole(run):
            table = read.tables["lineage"]
            there = [column for column in _LINEAGE_COLUMNS if column in table.columns]
            rows = records(table, there)
            if not {"child", "parent"} <= set(there):
                raise KeyError("child or parent")
            return {"rows": [{**dict.fromkeys(_LINEAGE_COLUMNS), **row} for row in rows]}

    return cache.get(key(run, "lineage"), made)


def records(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON can hold them: texts on one line, None for what is missing or not finite."""
    return [
        {column: _plain(value) for column, value in zip(columns, row, strict=True)}
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        return one_line(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else number
