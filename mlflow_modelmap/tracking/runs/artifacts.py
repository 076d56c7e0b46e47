"""Tracking: a run's artifacts - which there are, one as a file, one as what it holds."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.store.failures import failed
from mlflow_modelmap.words.reason import reason


def local_path(uri: str) -> Path | None:
    """The path of a file URI or plain path, or None where a store holds the artifacts."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if not parts.scheme or len(parts.scheme) == 1:
        return Path(uri)
    return None


def artifact_names(
    run_id: str, root: str, address: str, folder: str = schema.ARTIFACT_FOLDER
) -> set[str]:
    """The files and folders in a folder of a run's artifacts; none where it is not there.

    Parameters
    ----------
    root
        The run's artifact URI.
    address
        Of the tracking store.

    Raises
    ------
    TrackingError
        If the store cannot answer.
    """
    local = local_path(root)
    try:
        if local is not None:
            return {path.name for path in (local / folder).glob("*")}
        there = mlflow.artifacts.list_artifacts(
            artifact_uri=f"{root.rstrip('/')}/{folder}", tracking_uri=address
        )
    except Exception as error:  # of whatever holds the artifacts: S3, GCS, a server, ...
        raise failed(f"The artifacts of run {run_id} cannot be listed", address, error) from error
    return {Path(info.path).name for info in there or ()}


@contextlib.contextmanager
def artifact_file(run_id: str, root: str, path: str, address: str) -> Iterator[Path]:
    """An artifact as a file on this machine: in place, or fetched for as long as the block.

    Parameters
    ----------
    root, address
        See `artifact_names`.
    path
        Among the run's artifacts, ``modelmap/`` included.

    Raises
    ------
    FileNotFoundError
        If it is not there; its message goes on behind the artifact's name.
    TrackingError
        If it cannot be fetched.
    """
    local = local_path(root)
    if local is not None:
        if not (local / path).is_file():
            raise FileNotFoundError(
                "is missing"
                if local.exists()
                else f"is missing, and {str(local)!r} is not visible from this machine"
            )
        yield local / path
        return
    with temporary_folder() as folder:
        try:
            fetched = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{root.rstrip('/')}/{path}", dst_path=folder, tracking_uri=address
            )
        except Exception as error:  # of whatever holds the artifacts
            # MLflow raises the same for one that is missing and a store that is down.
            if Path(path).name not in artifact_names(run_id, root, address, os.path.dirname(path)):
                raise FileNotFoundError("is missing") from error
            what = f"The artifact {path} of run {run_id} cannot be fetched"
            raise failed(what, address, error) from error
        yield Path(fetched)


def read_artifact(run_id: str, root: str, name: str, store: MlflowClient) -> Any:
    """What a file in a run's ``modelmap/`` folder holds.

    A frame (``.parquet``, ``.csv``), an array (``.npy``), a value (``.json``) or a text.

    Parameters
    ----------
    root
        The run's artifact URI.
    name
        File name with its ending.

    Raises
    ------
    TrackingError
        If it is missing or damaged (it names the run), or the store cannot answer.
    """
    path = f"{schema.ARTIFACT_FOLDER}/{name}"
    try:
        with artifact_file(run_id, root, path, store.tracking_uri) as file:
            return _held(name, file.read_bytes())
    except TrackingError:
        raise
    except FileNotFoundError as error:
        what = str(error)
    except Exception as error:  # of pyarrow, numpy and json, whatever a damaged file makes of them
        what = f"cannot be read ({reason(error)})"
    raise TrackingError(f"Run {run_id} is damaged: its artifact {path} {what}; make it again.")


def _held(name: str, data: bytes) -> Any:
    if name.endswith(".npy"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    if name.endswith(".csv"):
        return pd.read_csv(io.BytesIO(data))
    if name.endswith(".json"):
        return json.loads(data)
    if name.endswith(".parquet"):
        return pd.read_parquet(io.BytesIO(data))
    return data.decode("utf-8")
