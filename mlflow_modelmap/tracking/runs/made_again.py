"""Tracking: how a score that cannot be used is made again, as the command that does it."""

from __future__ import annotations

import shlex

from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened


def made_again(run: Point) -> str:
    """How to make a score that is damaged again, within a sentence."""
    if run.imported:
        return "its file can be imported again (`modelmap import`)"
    if run.monitored:
        return "its checkpoint can be scored from its weights, where they were saved"
    said = {
        "--revision": run.revision,
        "--trajectory": run.trajectory,
        "--step": run.step,
        "--precision": run.precision,
    }
    given = [f"{name} {shlex.quote(str(value))}" for name, value in said.items() if value]
    texts = shlex.quote(run.text_set_name) if run.text_set_name else "TEXTS"
    command = " ".join(["modelmap score", shlex.quote(run.model), "--texts", texts, *given])
    return f"its sweep makes it again, or `{shortened(one_line(command))} --again` does"
