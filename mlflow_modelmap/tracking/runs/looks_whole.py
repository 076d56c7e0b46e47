"""Tracking: is a run's vector there? As far as its file tells without being read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.point import Point


def looks_whole(run: Point, texts: int | None = None) -> bool:
    """Whether the vector of a run is there, as far as can be told without reading it.

    Of a file on this machine the footer is read, which is its last part, and its rows are counted;
    what a store holds elsewhere is judged when it is read.

    Parameters
    ----------
    texts
        How many there must be, if that is known.
    """
    root = local_path(run.artifact_uri)
    if root is None:
        return True
    try:
        held = pq.read_metadata(root / run.vectors)
    except (OSError, ValueError, pa.ArrowException):
        return False
    there = {held.schema.column(number).name for number in range(held.num_columns)}
    whole = held.num_rows > 0 and (texts is None or held.num_rows % texts == 0)
    return whole and there.issuperset(schema.LOG_LIKELIHOOD_COLUMNS)
