"""Tracking: names that tell the points of one selection apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mlflow_modelmap.tracking.runs.point import Point


def unique_names(runs: Sequence[Point]) -> list[Point]:
    """Make names unique by what tells the runs apart: revision, step, precision, else run id."""
    named = list(runs)
    for attribute in ("revision", "step", "precision", "run_id"):
        count = Counter(run.name for run in named)
        clashing: dict[str, set[object]] = {}
        for run in named:
            if count[run.name] > 1:
                clashing.setdefault(run.name, set()).add(getattr(run, attribute))
        for index, run in enumerate(named):
            value = getattr(run, attribute)
            if len(clashing.get(run.name, ())) > 1 and value is not None:
                shown = {"step": f"step {value}", "run_id": str(value)[:8]}.get(
                    attribute, str(value)
                )
                named[index] = replace(run, name=f"{run.name} ({shown})")
    count = Counter(run.name for run in named)
    return [
        replace(run, name=f"{run.name} ({run.run_id})")
        if count[run.name] > 1 or run.name == "point"  # the name of a column of kl.parquet
        else run
        for run in named
    ]
