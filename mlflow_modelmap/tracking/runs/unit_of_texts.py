"""Tracking: what the texts of a run are called - texts, or responses where they have prompts."""

from __future__ import annotations

import json

from mlflow.entities import Run

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.words.texts_or_responses import TEXTS, called


def unit_in(run: Run) -> str | None:
    """What the run's dataset of its text set says they are; None where it has no such dataset."""
    text_set = run.data.tags.get(schema.TAG_TEXT_SET) or ""
    for used in run.inputs.dataset_inputs if run.inputs else ():
        # MLflow keeps the beginning of a digest.
        if used.dataset.digest and text_set.startswith(used.dataset.digest):
            try:
                profile = json.loads(used.dataset.profile or "{}")
            except (ValueError, RecursionError):  # anybody may have written it
                continue
            if isinstance(profile, dict):
                return called(profile.get("prompts"))
    return None


def unit_of(run_id: str) -> str:
    """The same of a run of the current store; texts where nothing is known."""
    try:
        return unit_in(find_run(run_id, client())) or TEXTS
    except (InputError, TrackingError):  # a word is worth no failure
        return TEXTS
