"""Driver: each child of a lineage against its parent, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.exact import (
    BESIDE,
    ExactOptions,
    exact_between,
    exact_columns,
)
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.point import Point


def with_exact_edges(
    table: pd.DataFrame,
    names: Sequence[str],
    points: Sequence[Point],
    options: ExactOptions | None,
    notices: list[str],
    *,
    experiment: str | None,
    progress: bool,
    store: MlflowClient,
) -> tuple[pd.DataFrame, str | None]:
    """The table of a lineage with the exact KL(parent || child) and the rest beside the estimate.

    Code that comes with a model is never run here: parents are named by tags and cards.

    Parameters
    ----------
    table
        ``lineage.parquet``.
    names, points
        Of the measured members, in the same order.
    notices
        Receives a sentence for each edge that cannot be compared.

    Returns
    -------
    table, run_id
        Columns ``exact_forward`` and so on, NaN where it is not known; the run that holds the
        comparisons, or None.
    """
    of = dict(zip(names, points, strict=True))
    edges = [
        (of[row.parent], of[row.child])
        if isinstance(row.parent, str) and row.parent in of and row.child in of
        else None
        for row in table.itertuples()
    ]
    asked = [edge for edge in edges if edge is not None]
    unknown = pd.DataFrame({f"exact_{name}": np.full(len(table), np.nan) for name in BESIDE})
    try:
        study = exact_between(
            asked,
            store,
            options,
            strict=False,
            name="lineage, exact",
            experiment=experiment,
            progress=progress,
        )
    except InputError as error:
        notices.append(f"No edge was compared exactly: {error}")
        return pd.concat([table.reset_index(drop=True), unknown], axis=1), None
    notices += study.notices
    known = exact_columns(study, [(a.run_id, b.run_id) for a, b in asked])
    unknown.iloc[[k for k, edge in enumerate(edges) if edge is not None]] = known.to_numpy()
    return pd.concat([table.reset_index(drop=True), unknown], axis=1), study.run_id
