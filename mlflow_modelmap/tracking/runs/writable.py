"""Tracking: can artifacts be written where a run will have its own - asked before long work."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from pathlib import Path

from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.open_run import target_experiment
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.store.client import briefly
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

_FOLDER = "modelmap-writable"


def check_artifacts_writable(
    store: MlflowClient, experiment: str | None = None, run_id: str | None = None
) -> None:
    """Write a small file where a run's artifacts will go, and remove it.

    Parameters
    ----------
    experiment, run_id
        Where the run will be; see `open_run`.

    Raises
    ------
    InputError
        If the run or experiment is not there.
    TrackingError
        If the file cannot be written; it names the place.
    """
    with quiet():
        if run_id:
            root = find_run(run_id, store).info.artifact_uri
        else:
            of = target_experiment(store, experiment)
            root = store.get_experiment(of).artifact_location
        try:
            with briefly():
                _try(root, store.tracking_uri)
        except Exception as error:  # of whatever holds the artifacts
            raise artifacts_not_written(root, error) from error


def artifacts_not_written(root: str, error: BaseException) -> TrackingError:
    """The sentence for a place that takes no artifacts."""
    return TrackingError(
        f"Artifacts cannot be written to {redact(root)!r} ({reason(error)}); see whether this "
        "machine may write there, or log into an experiment whose artifacts lie elsewhere."
    )


def _try(root: str, address: str) -> None:
    local = local_path(root)
    if local is not None:
        local.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=local, prefix=f".{_FOLDER}-"):
            return
    repository = get_artifact_repository(root, tracking_uri=address)
    name = f"{uuid.uuid4().hex}.txt"
    with temporary_folder() as folder:
        file = Path(folder) / name
        file.write_text("written to see whether it can be; may be removed\n", encoding="utf-8")
        repository.log_artifact(os.fspath(file), _FOLDER)
    with contextlib.suppress(Exception):  # some stores let nobody delete
        repository.delete_artifacts(f"{_FOLDER}/{name}")
