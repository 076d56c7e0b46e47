"""Tracking: which checkpoints a monitored training run holds, as its index lists them."""

from __future__ import annotations

import time
from dataclasses import replace

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.runs.largest_sizes import LARGEST_STEP
from mlflow_modelmap.tracking.runs.point import Point, finite, point_of

DIGEST = "vector"
"""The column with `vectors_digest` of each checkpoint's vector, as it was recorded."""
_TRIES = 4
_DIGITS = 10
"""Of the number of checkpoints that a run lists; more of them no file holds."""


def checkpoints_of(run: Run, store: MlflowClient) -> list[Point]:
    """The checkpoints that a monitored training run lists, in order of step.

    Raises
    ------
    TrackingError
        If its index is damaged.
    """
    index = read_index(run, store)
    if index is None:
        return []
    training = point_of(run)
    line = training.trajectory or training.name
    saved = index["model"] if "model" in index else [None] * len(index)
    # Trainings of earlier versions list no digests; the training's own tag says nothing of a step.
    digests = index[DIGEST] if DIGEST in index else [None] * len(index)
    tags = {key: value for key, value in training.tags.items() if key != schema.TAG_VECTOR}
    measured = pd.to_numeric(index["bits_per_byte"], errors="coerce")
    return [
        replace(
            training,
            name=f"{line} step {step}",
            trajectory=line,
            step=int(step),
            model=model if isinstance(model, str) else line,
            bits_per_byte=finite(float(bits)),
            identity=f"{run.info.run_id}@{step}",
            vectors=schema.checkpoint_vectors(int(step)),
            tags={**tags, schema.TAG_VECTOR: digest} if isinstance(digest, str) else tags,
        )
        for step, bits, model, digest in zip(index["step"], measured, saved, digests, strict=True)
    ]


def read_index(run: Run, store: MlflowClient) -> pd.DataFrame | None:
    """The index of a monitored training run, or None where nothing is recorded yet.

    Raises
    ------
    TrackingError
        If it is missing or damaged.
    """
    run_id, listed = run.info.run_id, run.data.tags.get(schema.TAG_CHECKPOINTS, "")
    if not (listed.isdecimal() and len(listed) < _DIGITS):
        return None
    name = schema.CHECKPOINT_INDEX.removeprefix(f"{schema.ARTIFACT_FOLDER}/")
    for attempt in range(_TRIES):
        index = read_artifact(run_id, run.info.artifact_uri, name, store)
        if len(index) >= int(listed):
            break
        time.sleep(attempt * 0.2)  # it may just be written anew
    # The tag is set last: a row beyond it is one that was not finished.
    index = index.head(int(listed))
    wanted = [column for column in ("step", "bits_per_byte") if column not in index]
    if wanted or len(index) < int(listed) or not _whole_steps(index["step"]):
        what = f"lacks the column {', '.join(wanted)}" if wanted else "is cut short"
        raise TrackingError(
            f"Run {run_id} is damaged: its {schema.CHECKPOINT_INDEX} {what}; leave it out."
        )
    return index


def _whole_steps(column: pd.Series) -> bool:
    return pd.api.types.is_integer_dtype(column) and bool(
        (column.diff().dropna() > 0).all() and (column.abs() <= LARGEST_STEP).all()
    )
