"""Tracking: the vectors of many points that come from elsewhere, as one run: written, read back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient

from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.array_file import array_header
from mlflow_modelmap.tracking.runs.artifacts import artifact_file, bytes_of
from mlflow_modelmap.tracking.runs.largest_sizes import (
    LARGEST_LOG_LIKELIHOOD,
    PROGRAM,
    VECTORS,
    NotRead,
    megabytes,
)
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.parquet_table import read_parquet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import CSV_CELLS
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.vector_table import ROUNDING, Vectors, read_table
from mlflow_modelmap.words.reason import reason

_FILES = (schema.VECTOR_POINTS, schema.VECTOR_TEXTS, schema.VECTORS)
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class ManyVectors:
    """The vectors of many points on one text set.

    Attributes
    ----------
    values
        Log-likelihoods in nats, float64 or float32, shape (K, N).
    points
        One row a point, in the order of `values`: ``point``, its unique name, and whatever of the
        columns of `vectors_points` is known of any.
    bytes
        UTF-8 bytes of each text, int64, shape (N,).
    text_set, text_set_name
        Digest and name of the text set.
    scored_tokens
        Of each text, shape (N,), or None where not known.
    weights, documents
        Of the texts, shape (N,), as in `vector_table.Vectors`, or None.
    """

    values: np.ndarray
    points: pd.DataFrame
    bytes: np.ndarray
    text_set: str
    text_set_name: str | None = None
    scored_tokens: np.ndarray | None = None
    weights: np.ndarray | None = None
    documents: np.ndarray | None = None


def write_vectors_run(
    many: ManyVectors,
    *,
    store: MlflowClient,
    texts: TextSet | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
) -> str:
    """Write one run of kind ``vectors``, complete or FAILED; its run id comes back.

    Parameters
    ----------
    many
        What it holds.
    texts
        The texts themselves, where they are at hand: logged as what was scored.
    params, tags
        See `OpenRun.log`.
    name, experiment, run_id
        Where to log, see `open_run`.

    Raises
    ------
    TrackingError
        If the store cannot take it.
    """
    own_tags = {
        schema.TAG_TEXT_SET: many.text_set,
        schema.TAG_TEXT_SET_NAME: many.text_set_name,
        schema.TAG_POINTS: len(many.points),
        **(tags or {}),
    }
    with open_run(
        schema.KIND_VECTORS,
        store=store,
        name=name,
        experiment=experiment,
        run_id=run_id,
        tags=own_tags,
    ) as run:
        if texts is not None:
            run.log_texts(TextSetDataset(texts))
        with temporary_folder() as folder:
            _write_files(Path(folder), many)
            digest = digest_of_files({name: Path(folder) / Path(name).name for name in _FILES})
            run.log_folder(folder)
        run.log(params=params, tags={schema.TAG_VECTOR: digest})
        return run.run_id


def _write_files(folder: Path, many: ManyVectors) -> None:
    points = many.points.assign(row=np.arange(len(many.points)))
    points.to_parquet(folder / Path(schema.VECTOR_POINTS).name, index=False)
    if points.size <= CSV_CELLS:
        points.to_csv(folder / "points.csv", index=False)
    columns: dict[str, Any] = {
        "text": np.arange(len(many.bytes)),
        "bytes": many.bytes.astype(np.int64),
    }
    if many.scored_tokens is not None:
        columns["scored_tokens"] = many.scored_tokens.astype(np.int64)
    if many.weights is not None:
        columns[schema.WEIGHT_COLUMN] = many.weights.astype(np.float64)
    if many.documents is not None:
        codes = many.documents.astype(np.int64)
        columns[schema.DOCUMENT_COLUMN] = pd.array(codes, dtype="Int64")
        columns[schema.DOCUMENT_COLUMN][codes < 0] = pd.NA
    pd.DataFrame(columns).to_parquet(folder / Path(schema.VECTOR_TEXTS).name, index=False)
    np.save(folder / Path(schema.VECTORS).name, many.values, allow_pickle=False)


def digest_of_files(files: Mapping[str, Path]) -> str:
    """SHA-256 (hex) over files in order: of each its name in the run, its length and its bytes."""
    sha = hashlib.sha256()
    for name, path in files.items():
        sha.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                sha.update(block)
    return sha.hexdigest()


def read_vectors_run(points: Sequence[Point], address: str) -> list[Vectors]:
    """The vectors of these points of one run, in their order; each file is read once.

    Only the rows that are asked for are kept in memory.

    Parameters
    ----------
    points
        From `points_of`, all of one run.
    address
        Of the tracking store.

    Raises
    ------
    NotRead
        If a file is missing, damaged or too large, or is another one than was logged.
    TrackingError
        If it cannot be fetched.
    """
    first = points[0]
    with _files(first, address) as files:
        said = first.tags.get(schema.TAG_VECTOR)
        if said is not None:
            digest = digest_of_files(files)
            if digest != said:
                raise NotRead(
                    f"its artifacts are others than were imported (they have the digest "
                    f"{digest[:12]}, and the tag {schema.TAG_VECTOR} says {said[:12]!r})"
                )
        texts = _texts(files[schema.VECTOR_TEXTS])
        rows = np.array([point.row for point in points], dtype=np.int64)
        values = _rows(files[schema.VECTORS], rows, len(texts.bytes))
    _check(values, texts.scored_tokens, points)
    return [replace(texts, own=own) for own in values]


@contextlib.contextmanager
def _files(point: Point, address: str) -> Iterator[dict[str, Path]]:
    """The files of a run on this machine: in place, or fetched for as long as the block."""
    with contextlib.ExitStack() as opened:
        there = {}
        for name in _FILES:
            try:
                file = artifact_file(point.run_id, point.artifact_uri, name, address)
                there[name] = opened.enter_context(file)
            except FileNotFoundError as error:
                raise NotRead(f"its artifact {name} {error}") from None
        yield there


def _texts(path: Path) -> Vectors:
    """What is said of the texts; `own` holds nothing."""
    wanted = ("text", "bytes", "scored_tokens", schema.WEIGHT_COLUMN, schema.DOCUMENT_COLUMN)
    try:
        table = read_parquet(bytes_of(path, VECTORS), VECTORS, wanted)
        if "bytes" not in table.column_names:
            raise NotRead("lacks the column bytes")
    except NotRead as error:
        raise NotRead(f"its artifact {schema.VECTOR_TEXTS} {error}") from None
    except Exception as error:  # of pyarrow, whatever a damaged file makes of it
        why = f"cannot be read ({reason(error)})"
        raise NotRead(f"its artifact {schema.VECTOR_TEXTS} {why}") from error
    rows = table.num_rows
    for name in ("text", "scored_tokens", "log_likelihood"):
        if name not in table.column_names:
            column = np.arange(rows) if name == "text" else np.zeros(rows, dtype=np.int64)
            table = table.append_column(name, pa.array(column))
    try:
        return read_table(table.append_column("layer", pa.nulls(rows, pa.int64())))
    except ValueError as error:
        raise NotRead(str(error)) from None


def _rows(path: Path, rows: np.ndarray, texts: int) -> np.ndarray:
    """Rows of an array in a file as float64, read one after another and not mapped into memory.

    Whoever cut a mapped file short would end this process.
    """
    size = rows.size * texts * 8
    with path.open("rb") as file:
        try:
            shape, by_columns, kind = array_header(file, path.stat().st_size, "f")
            if len(shape) != 2 or shape[1] != texts or by_columns:
                raise NotRead(f"has the shape {shape}, which is no row of {texts} texts a point")
            if rows.max() >= shape[0]:
                raise NotRead(f"has {shape[0]} rows, and a point is row {rows.max()}")
            if size > PROGRAM.size:
                raise NotRead(
                    f"unpacks to {megabytes(size)}, and {PROGRAM.reader} reads at most "
                    f"{megabytes(PROGRAM.size)}"
                )
            start, length = file.tell(), texts * kind.itemsize
            found = np.empty((rows.size, texts))
            for at, row in enumerate(rows):
                file.seek(start + int(row) * length)
                held = file.read(length)
                if len(held) < length:
                    raise NotRead("is cut short")
                found[at] = np.frombuffer(held, dtype=kind)
        except NotRead as error:
            raise NotRead(f"its artifact {schema.VECTORS} {error}") from None
        except ValueError as error:  # of numpy, about the header
            why = f"cannot be read ({reason(error)})"
            raise NotRead(f"its artifact {schema.VECTORS} {why}") from error
    return found


def _check(values: np.ndarray, tokens: np.ndarray, points: Sequence[Point]) -> None:
    wrong = ~(np.abs(values) <= LARGEST_LOG_LIKELIHOOD)  # of NaN too
    if wrong.any():
        at, text = np.argwhere(wrong)[0]
        raise NotRead(
            f"its log-likelihood of text {text} of {points[at].name!r} is {values[at, text]}"
        )
    above = values > ROUNDING * (1 + tokens)
    if above.any():
        at, text = np.argwhere(above)[0]
        raise NotRead(
            f"its log-likelihood of text {text} of {points[at].name!r} is {values[at, text]:g}, "
            "above 0, which no probability gives"
        )


def read_many(points: Sequence[Point]) -> list[Vectors | NotRead]:
    """As `read_vectors_run`, of points of any runs of kind ``vectors``, in their order."""
    of: dict[str, list[int]] = {}
    for at, point in enumerate(points):
        of.setdefault(point.run_id, []).append(at)
    found: list[Vectors | NotRead] = [NotRead("")] * len(points)
    address = mlflow.get_tracking_uri()
    for places in of.values():
        try:
            read: Sequence[Vectors | NotRead] = read_vectors_run(
                [points[at] for at in places], address
            )
        except NotRead as error:
            read = [error] * len(places)
        for at, one in zip(places, read, strict=True):
            found[at] = one
    return found
