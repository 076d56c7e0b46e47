"""Driver: the exact comparison of two points of a map, where some run beside it holds one."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.exact.exact import BESIDE
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import key
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

_LATEST = 20
"""Runs of exact comparisons that are looked through."""
_COLUMNS = ("first_run", "second_run", "texts", "tokens", *BESIDE)


def exact_payload(
    store: ServerStore, run: Run, pair: tuple[str, str], cache: PageCache
) -> dict[str, Any] | None:
    """What the latest run of kind ``exact`` in the map's experiment says of two of its runs.

    Parameters
    ----------
    run
        The map's.
    pair
        Run ids of A and B; one that was made the other way round is turned.

    Returns
    -------
    dict or None
        ``forward`` = KL(A || B), ``reverse``, ``top1`` and their errors, ``texts``, ``tokens``,
        ``run_id``; None where there is none.
    """
    done = f"attributes.status = 'FINISHED' AND tags.`{schema.TAG_TEXT_SET}` = "
    texts = run.data.tags.get(schema.TAG_TEXT_SET) or ""
    if not texts.isalnum():
        return None
    wanted = of_kind(schema.KIND_EXACT, f"{done}'{texts}'")
    for made in store.search([run.info.experiment_id], wanted, most=_LATEST):
        if not is_readable(made):
            continue
        try:
            table = cache.get(key(made, "exact"), partial(_table, store, made))
        except (InputError, TrackingError):
            continue
        told = _told(table, pair)
        if told is not None:
            return {**told, "run_id": made.info.run_id}
    return None


def _table(store: ServerStore, run: Run) -> pd.DataFrame:
    read = load_study(
        run.info.run_id,
        schema.KIND_EXACT,
        tables=("exact",),
        columns={"exact": _COLUMNS},
        limits={"": PAGE},
        store=cast(MlflowClient, store),
    )
    table = read.tables["exact"]
    numbers = [name for name in _COLUMNS if not name.endswith("_run")]
    try:
        return table[["first_run", "second_run"]].join(table[numbers].astype(float))
    except (KeyError, TypeError, ValueError):
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: its exact.parquet lacks columns; make it again."
        ) from None


def _told(table: pd.DataFrame, pair: tuple[str, str]) -> dict[str, Any] | None:
    for first, second, turned in ((*pair, False), (*pair[::-1], True)):
        rows = table[(table["first_run"] == first) & (table["second_run"] == second)]
        if not len(rows):
            continue
        one = rows.iloc[0]
        names = {name: name for name in ("texts", "tokens", *BESIDE)}
        if turned:
            names |= {"forward": "reverse", "forward_se": "reverse_se"}
            names |= {"reverse": "forward", "reverse_se": "forward_se"}
        values = {name: float(one[of]) for name, of in names.items()}
        if not all(np.isfinite(v) for k, v in values.items() if not k.endswith("_se")):
            return None
        return {k: v if np.isfinite(v) else None for k, v in values.items()}
    return None
