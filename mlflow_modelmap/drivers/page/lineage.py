"""Driver: a lineage run for the server page; `lineage_view.js` shows it."""

from __future__ import annotations

from typing import Any, cast

from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import records
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

COLUMNS = (
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
    "gap",
    "gap_se",
    "candidates",
    "also",
)


def lineage_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """A lineage run's rows, one a child and parent, roots first within each family.

    Returns
    -------
    dict
        ``rows``: ``child``, ``parent``, ``generation``, ``kl``, ``se``, ``nearest``,
        ``nearest_kl``, ``source``, ``relation``, ``verdict``, ``gap``, ``gap_se``,
        ``candidates``, ``also`` (the last four None in runs of version 0.1).
    """
    run = opened.run

    def made() -> dict[str, Any]:
        read = load_study(
            run.info.run_id,
            schema.KIND_LINEAGE,
            tables=("lineage",),
            columns={"lineage": COLUMNS},
            limits={"": PAGE},
            store=cast(MlflowClient, store),
        )
        with whole(run):
            table = read.tables["lineage"]
            there = [column for column in COLUMNS if column in table.columns]
            rows = records(table, there)
            if not {"child", "parent"} <= set(there):
                raise KeyError("child or parent")
            return {"rows": [{**dict.fromkeys(COLUMNS), **row} for row in rows]}

    return cache.get(key(run, "lineage"), made)
