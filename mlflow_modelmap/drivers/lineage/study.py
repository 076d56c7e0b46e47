"""Driver: a measured lineage - what it holds, and how it is loaded back from its run."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mlflow_modelmap.numerics.lineage.agreement import Agreement
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study


@dataclass(frozen=True, eq=False)
class LineageResult:
    """A lineage that has been measured.

    Attributes
    ----------
    run_id
        The run of kind ``lineage``.
    table
        One row a child and parent (a root has one row without a parent): ``child``, ``parent``,
        ``generation``, ``kl``, ``se``, ``nearest``, ``nearest_kl``, ``source``, ``relation``,
        ``verdict``, ``root``, ``kl_to_root``, ``se_to_root``; bits per byte, missing where not
        measured. Since version 0.2 also ``gap`` (KL to the parent less that to the nearest),
        ``gap_se`` (its paired standard error), ``candidates`` (how many the nearest is of) and
        ``also`` (further names of the child, scores that are the same on every text).
    agreement
        How far the claims agree with trees made without them.
    notices
        What was left out, contradictory or not to be found, a sentence each.
    """

    run_id: str
    table: pd.DataFrame
    agreement: Agreement
    notices: tuple[str, ...] = ()


def load_lineage(run_id: str) -> LineageResult:
    """What `lineage` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``lineage``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_LINEAGE, tables=("lineage", "agreement"))
    (row,) = read.tables["agreement"].to_dict("records")
    return LineageResult(run_id, read.tables["lineage"], Agreement(**row), read.notices)
