"""Driver: a scale run for the server page; `scale_view.js` shows it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import plain, records
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.numerics.scale.paper_scale import OF_SET_UP, PAPER_SCALE, SET_UP_NOTE
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE, PAGE_PAIRS
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_PAIRS = 60
"""Pairs of a group that a scale is drawn with; of more, so many at even ranks."""

_SCALE = ("group", "median", "mean", "sd", "n", "paper_median")
_PAIRS = ("group", "point", "other", "kl", "se")


def scale_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """A scale run's groups with their spread, beside the paper's.

    Returns
    -------
    dict
        ``groups``: ``group``, ``meaning`` (in the paper's words, or None), ``median``, ``mean``,
        ``sd``, ``n``, ``paper_median``, ``low`` and ``high`` (quartiles; None of a single pair),
        ``largest_se`` (of a pair's KL) and ``pairs``: ``point``, ``other``, ``kl``, ``se``, by KL
        and at most `MOST_PAIRS`; bits per byte. ``note``: what must be said of the paper's medians,
        or None.
    """
    run = opened.run
    meaning = {row.group: row.phrase for row in PAPER_SCALE}

    def made() -> dict[str, Any]:
        read = load_study(
            run.info.run_id,
            schema.KIND_SCALE,
            tables=("scale", "pairs"),
            columns={"scale": _SCALE, "pairs": _PAIRS},
            limits={"": PAGE, "pairs": PAGE_PAIRS},
            store=cast(MlflowClient, store),
        )
        with whole(run):
            table = read.tables["scale"]
            parts = dict(iter(read.tables["pairs"].groupby("group")))
            spreads = [_spread(parts[group]) for group in table["group"]]
            rows = records(table, _SCALE)
            return {
                "note": SET_UP_NOTE if set(OF_SET_UP) & set(table["group"]) else None,
                "groups": [
                    {**row, "meaning": meaning.get(row["group"]), **spread}
                    for row, spread in zip(rows, spreads, strict=True)
                ],
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
