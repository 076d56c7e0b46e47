"""Tracking: the runs that work left over when it was killed - found, and ended as KILLED."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag

from mlflow_modelmap.machine.signals import shielded
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import WITHOUT_A_WORD, last_sign, left_over
from mlflow_modelmap.tracking.runs.search import search_runs


def left_overs(experiment_ids: Sequence[str], store: MlflowClient) -> list[tuple[Run, str]]:
    """The runs of experiments that are left over, the latest first, and why each is.

    Raises
    ------
    TrackingError
        If the store cannot answer.
    """
    if not experiment_ids:
        return []
    ours = f"attributes.status = 'RUNNING' AND tags.`{schema.TAG_PROCESS}` LIKE '%'"
    found = [(run, left_over(run)) for run in search_runs(experiment_ids, ours, store)]
    return [(run, why) for run, why in found if why]


def end_left_over(run_id: str, store: MlflowClient) -> bool:
    """End a run as KILLED if it (still) is left over; whether it was."""
    run = store.get_run(run_id)
    why = left_over(run)
    if why is None:
        return False
    said = f"{WITHOUT_A_WORD}{why}."
    tags = [RunTag(schema.TAG_ERROR, said)]
    if not run.data.tags.get(schema.TAG_NOTE):
        tags.append(RunTag(schema.TAG_NOTE, said))
    with shielded():
        store.log_batch(run_id, tags=tags)
        store.set_terminated(run_id, "KILLED", int(1000 * last_sign(run)))
    return True
