"""Driver: scale and lineage runs for the server page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.readable import Opened, key, whole
from mlflow_modelmap.figures.map.map_data import one_line
from mlflow_modelmap.numerics.scale.paper_scale import PAPER_SCALE
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_PAIRS = 60
"""Pairs of a group that a scale is drawn with; of more, so many at even ranks."""
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
    """A scale run's groups with their spread, beside the paper's.

    Returns
    -------
    dict
        ``groups``: ``group``, ``meaning`` (in the paper's words, or None), ``median``, ``mean``,
        ``sd``, ``n``, ``paper_median``, ``low`` and ``high`` (quartiles; None of a single pair),
        ``largest_se`` (of a pair's KL) and ``pairs``: ``point``, ``other``, ``kl``, ``se``, by KL
        and at most `MOST_PAIRS`; bits per byte.
    """
    run = opened.run
    meaning = {row.group: row.phrase for row in PAPER_SCALE}

    def made() -> dict[str, Any]:
        read = load_study(
            run.info.run_id,
            schema.KIND_SCALE,
            tables=("scale", "pairs"),
            store=cast(MlflowClient, store),
        )
        with whole(run):
            table = read.tables["scale"]
            parts = dict(iter(read.tables["pairs"].groupby("group")))
            spreads = [_spread(parts[group]) for group in table["group"]]
            rows = records(table, ("group", "median", "mean", "sd", "n", "paper_median"))
            return {
                "groups": [
                    {**row, "meaning": meaning.get(row["group"]), **spread}
                    for row, spread in zip(rows, spreads, strict=True)
                ]
            }

    return cache.get(key(run, "scale"), made)


def _spread(pairs: pd.DataFrame) -> dict[str, Any]:
    """How far the pairs of a group lie apart, and how well each is known."""
    ordered = pairs.sort_values("kl", kind="stable")
    low, high = ordered["kl"].quantile([0.25, 0.75]) if len(ordered) > 1 else (None, None)
    ranks = np.unique(np.linspace(0, len(ordered) - 1, MOST_PAIRS).round().astype(int))
    return {
        "low": plain(low),
        "high": plain(high),
        "largest_se": plain(ordered["se"].max()),
        "pairs": records(ordered.iloc[ranks], ("point", "other", "kl", "se")),
    }


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
        read = load_study(
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
    """Rows as JSON can hold them; see `plain`."""
    return [
        {column: plain(value) for column, value in zip(columns, row, strict=True)}
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: text on one line, None for what is missing or not finite."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        return one_line(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else number
