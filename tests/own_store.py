"""A store that several tests share, for what takes long to write and is only read."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow.tracking import fluent


@contextlib.contextmanager
def own_store(empty: Path, folder: Path) -> Iterator[str]:
    """A copy of an empty store in a folder, current in the block; the experiment is ``test``."""
    shutil.copy(empty, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    place = (folder / "artifacts").as_uri()
    mlflow.MlflowClient(uri).create_experiment("test", artifact_location=place)
    mlflow.set_experiment("test")
    try:
        yield uri
    finally:
        mlflow.set_tracking_uri(None)
        fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)  # `mlflow.set_experiment` sets it
