"""Tracking: one table, array, JSON value or text among a run's artifacts, read in place or fetched."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.words.redact import redact


def local_path(uri: str) -> Path | None:
    """The path of a file URI or plain path, or None where a store holds the artifacts."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if not parts.scheme or len(parts.scheme) == 1:
        return Path(uri)
    return None


def read_artifact(run_id: str, root: str, name: str, store: MlflowClient) -> Any:
    """A Parquet or CSV table, a ``.npy`` array, a JSON value or a text from a run's ``modelmap/`` folder.

    Parameters
    ----------
    root
        The run's artifact URI.
    name
        File name with its ending.

    Raises
    ------
    TrackingError
        If it is missing or damaged; it names the run.
    """
    path = f"{schema.ARTIFACT_FOLDER}/{name}"
    try:
        local = local_path(root)
        if local is not None:
            data = (local / path).read_bytes()
        else:
            with tempfile.TemporaryDirectory(prefix="modelmap-") as folder:
                fetched = mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{root.rstrip('/')}/{path}",
                    dst_path=folder,
                    tracking_uri=store.tracking_uri,
                )
                data = Path(fetched).read_bytes()
        if name.endswith(".npy"):
            return np.load(io.BytesIO(data), allow_pickle=False)
        if name.endswith(".csv"):
            return pd.read_csv(io.BytesIO(data))
        if name.endswith(".json"):
            return json.loads(data)
        if name.endswith(".txt"):
            return data.decode("utf-8")
        return pd.read_parquet(io.BytesIO(data))
    except Exception as error:
        reason = redact(" ".join(str(error).split()))[:300]
        raise TrackingError(
            f"Run {run_id} is damaged: its artifact {path} cannot be read ({reason}); make it "
            "again."
        ) from error
