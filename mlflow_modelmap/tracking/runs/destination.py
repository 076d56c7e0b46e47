"""Tracking: where a study's run goes, and whether it will be able to hold artifacts there."""

from __future__ import annotations

import os
from collections.abc import Sequence

import mlflow
from mlflow import MlflowClient

from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.store.experiments import experiment_name


def check_destination(
    members: Sequence[Point], store: MlflowClient, experiment: str | None, run_id: str | None
) -> None:
    """Whether `write_study` will be able to write artifacts, asked before anything is computed.

    Raises
    ------
    TrackingError
        If not.
    """
    if not experiment and not run_id:
        experiment = shared_experiment(members, store)
    check_artifacts_writable(store, experiment, run_id)


def shared_experiment(members: Sequence[Point], store: MlflowClient) -> str | None:
    """The name of the members' one experiment, unless this process has a run or experiment."""
    from mlflow.tracking import fluent

    elsewhere = mlflow.active_run() or fluent._active_experiment_id
    if elsewhere or any(
        os.environ.get(f"MLFLOW_{what}") for what in ("RUN_ID", "EXPERIMENT_ID", "EXPERIMENT_NAME")
    ):
        return None
    ids = {member.experiment_id for member in members if member.experiment_id}
    return experiment_name(ids.pop(), store) if len(ids) == 1 else None
