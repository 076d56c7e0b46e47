"""Tracking: a run's artifacts - which there are, one as a file, one as what it holds."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from mlflow_modelmap.tracking.runs.array_file import array_header
from mlflow_modelmap.tracking.runs.largest_sizes import (
    CSV_COLUMNS,
    PROGRAM,
    TEXT,
    Limit,
    NotRead,
    megabytes,
)
from mlflow_modelmap.tracking.runs.parquet_table import read_parquet
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


def artifact_sizes(
    run_id: str, root: str, address: str, folder: str = schema.ARTIFACT_FOLDER
) -> dict[str, int | None]:
    """The files and folders in a folder of a run's artifacts, with their bytes where known.

    Nothing where the folder is not there.

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
            return {
                path.name: path.stat().st_size if path.is_file() else None
                for path in (local / folder).glob("*")
            }
        there = mlflow.artifacts.list_artifacts(
            artifact_uri=f"{root.rstrip('/')}/{folder}", tracking_uri=address
        )
    except Exception as error:  # of whatever holds the artifacts: S3, GCS, a server, ...
        raise failed(f"The artifacts of run {run_id} cannot be listed", address, error) from error
    return {Path(info.path).name: info.file_size for info in there or ()}


@contextlib.contextmanager
def artifact_file(run_id: str, root: str, path: str, address: str) -> Iterator[Path]:
    """An artifact as a file on this machine: in place, or fetched for as long as the block.

    Parameters
    ----------
    root, address
        See `artifact_sizes`.
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
            if Path(path).name not in artifact_sizes(run_id, root, address, os.path.dirname(path)):
                raise FileNotFoundError("is missing") from error
            what = f"The artifact {path} of run {run_id} cannot be fetched"
            raise failed(what, address, error) from error
        yield Path(fetched)


def bytes_of(file: Path, limit: Limit) -> bytes:
    """What a file holds, unless that is more than may be read.

    Not mapped into memory: whoever cut a mapped file short would end this process.

    Raises
    ------
    NotRead
        If it is too large; the message goes on behind the file's name.
    """
    with file.open("rb") as opened:
        _check_size(os.fstat(opened.fileno()).st_size, limit)
        data = opened.read(limit.size + 1)  # it may be growing
    _check_size(len(data), limit)
    return data


def _check_size(size: int | None, limit: Limit) -> None:
    if size is not None and size > limit.size:
        raise NotRead(
            f"has {megabytes(size)}, and {limit.reader} reads at most {megabytes(limit.size)}"
        )


def read_artifact(
    run_id: str,
    root: str,
    name: str,
    store: MlflowClient,
    *,
    columns: Collection[str] | None = None,
    limit: Limit = PROGRAM,
    sizes: Mapping[str, int | None] | None = None,
) -> Any:
    """What a file in a run's ``modelmap/`` folder holds.

    A frame (``.parquet``, ``.csv``), an array (``.npy``), a value (``.json``) or a text.

    Parameters
    ----------
    root
        The run's artifact URI.
    name
        File name with its ending.
    columns
        Those of a ``.parquet`` that are wanted, as far as it has them; all where none are named.
    limit
        How much is read; of CSV, JSON and text no more than `limits.TEXT` in any case.
    sizes
        From `artifact_sizes`, where they are known already. What is far away is not fetched
        before its size is asked for.

    Raises
    ------
    TrackingError
        If it is missing, damaged or too large (it names the run), or the store cannot answer.
    """
    path = f"{schema.ARTIFACT_FOLDER}/{name}"
    if not name.endswith((".parquet", ".npy")):
        limit = TEXT
    try:
        if local_path(root) is None:
            if sizes is None:
                sizes = artifact_sizes(run_id, root, store.tracking_uri)
            _check_size(sizes.get(name), limit)
        with artifact_file(run_id, root, path, store.tracking_uri) as file:
            return _held(name, bytes_of(file, limit), limit, columns)
    except TrackingError:
        raise
    except (FileNotFoundError, NotRead) as error:
        what = str(error)
    except Exception as error:  # of pyarrow, numpy and json, whatever a damaged file makes of them
        what = f"cannot be read ({reason(error)})"
    raise TrackingError(f"Run {run_id} is damaged: its artifact {path} {what}; make it again.")


def read_rows(
    run_id: str,
    root: str,
    name: str,
    rows: Sequence[int],
    store: MlflowClient,
    *,
    limit: Limit = PROGRAM,
) -> np.ndarray:
    """Some rows of a matrix in a run's ``modelmap/`` folder; a file in place is read nowhere else.

    Parameters
    ----------
    name
        Of a ``.npy`` file of float64 numbers with two dimensions.
    rows
        From 0.
    root, limit
        See `read_artifact`; a file in place may be of any size.

    Returns
    -------
    ndarray of float64, shape (len(rows), N)

    Raises
    ------
    TrackingError
        As `read_artifact`, or if the matrix has no such row.
    """
    path = f"{schema.ARTIFACT_FOLDER}/{name}"
    try:
        if local_path(root) is None:
            sizes = artifact_sizes(run_id, root, store.tracking_uri)
            _check_size(sizes.get(name), limit)
        with (
            artifact_file(run_id, root, path, store.tracking_uri) as file,
            file.open("rb") as opened,
        ):
            shape, by_column, kind = array_header(opened, os.fstat(opened.fileno()).st_size)
            start = opened.tell()
            fits = len(shape) == 2 and kind == np.float64 and not by_column
            if not fits or max(rows) >= shape[0]:
                raise NotRead(f"of shape {shape} and type {kind} has no row {max(rows)} of numbers")
            found = np.empty((len(rows), shape[1]))
            for k, row in enumerate(rows):
                opened.seek(start + row * shape[1] * kind.itemsize)
                if opened.readinto(memoryview(found[k]).cast("B")) != found[k].nbytes:
                    raise NotRead("is cut short")
            return found
    except TrackingError:
        raise
    except (FileNotFoundError, NotRead) as error:
        what = str(error)
    except Exception as error:  # of numpy, whatever a damaged file makes of it
        what = f"cannot be read ({reason(error)})"
    raise TrackingError(f"Run {run_id} is damaged: its artifact {path} {what}; make it again.")


def _held(name: str, data: bytes, limit: Limit, columns: Collection[str] | None) -> Any:
    if name.endswith(".npy"):
        return _array(data)
    if name.endswith(".parquet"):
        return read_parquet(data, limit, columns).to_pandas()
    if name.endswith(".csv"):
        return _csv(data)
    text = data.decode("utf-8")
    return json.loads(text) if name.endswith(".json") else text


def _csv(data: bytes) -> pd.DataFrame:
    count = data.partition(b"\n")[0].count(b",") + 1
    if count > CSV_COLUMNS:
        raise NotRead(f"has {count:,} columns, and at most {CSV_COLUMNS:,} are read")
    return pd.read_csv(io.BytesIO(data), float_precision="round_trip")


def _array(data: bytes) -> np.ndarray:
    """An array of numbers, whose header promises no more than is there."""
    file = io.BytesIO(data)
    array_header(file, len(data))
    file.seek(0)
    return np.load(file, allow_pickle=False)
