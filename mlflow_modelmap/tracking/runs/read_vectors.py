"""Tracking: read the log-likelihood vectors of many runs into one matrix; trust nothing in them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, shares_of
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path as local_path
from mlflow_modelmap.tracking.store.client import quiet
from mlflow_modelmap.words.redact import redact

if TYPE_CHECKING:
    from mlflow_modelmap.tracking.runs.select_runs import Point

HTTP_THREADS = 12


@dataclass(frozen=True, eq=False)
class Vectors:
    """What one artifact holds: the model's own vector, and one a layer where there are any.

    `weights` are those of the texts, shape (N,), or None where they count alike.
    """

    own: np.ndarray | None
    layers: dict[int, np.ndarray]
    scored_tokens: np.ndarray
    bytes: np.ndarray
    weights: np.ndarray | None = None


def read_matrix(
    runs: Sequence[Point], *, layers: bool = False
) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """The log-likelihood matrix of these runs, and a point for each of its rows.

    Parameters
    ----------
    runs
        From `select_runs`; all on the same text set.
    layers
        Whether a run with layer rows gives one point a layer (the last one is the model itself)
        instead of one point.

    Returns
    -------
    LogLikelihoodMatrix of shape (K, N), list of K Point
        In the order of `runs`, with bits per byte computed from the vectors.

    Raises
    ------
    InputError
        If there are no runs, or their text sets (or the texts' weights, or the parts of them that
        were scored) differ.
    TrackingError
        If an artifact is missing or damaged; it names the run.
    """
    if not runs:
        raise InputError("No runs were given; a map needs at least two.")
    check_text_sets(runs)
    vectors = _read_all(runs)
    rows: list[np.ndarray] = []
    points: list[Point] = []
    for run, read in zip(runs, vectors, strict=True):
        if layers and read.layers:
            for layer in sorted(read.layers):
                rows.append(read.layers[layer])
                points.append(replace(run, layer=layer, name=f"{run.name} layer {layer}"))
        elif read.own is not None:
            rows.append(read.own)
            points.append(run)
        else:
            raise _damaged(run, "it holds layers only, and no row of the model itself")
    _check_same_parts(runs, vectors)
    _check_same_weights(runs, vectors)
    matrix = LogLikelihoodMatrix(
        np.stack(rows),
        tuple(point.name for point in points),
        vectors[0].bytes,
        vectors[0].weights,
    )
    bits = bits_per_byte(matrix)
    return matrix, [
        replace(point, bits_per_byte=float(value))
        for point, value in zip(points, bits, strict=True)
    ]


def check_text_sets(runs: Sequence[Point]) -> None:
    """Vectors on different texts never meet.

    Raises
    ------
    InputError
        Naming the digests, how many runs have each, and how to choose one.
    TrackingError
        If a run does not say its text set.
    """
    for run in runs:
        if not run.text_set:
            raise TrackingError(
                f"Run {run.run_id} ({run.name!r}) has no tag {schema.TAG_TEXT_SET} with the "
                "digest of its text set; set it, or leave the run out."
            )
    counts = Counter(run.text_set for run in runs)
    if len(counts) > 1:
        names = {run.text_set: run.text_set_name for run in runs}
        listed = " and ".join(
            f"{digest[:12]} ({names[digest] or 'unnamed'}, {count} run{'s' if count > 1 else ''})"
            for digest, count in counts.most_common(4)
        )
        if len(counts) > 4:
            listed += f" and {len(counts) - 4} more"
        most = counts.most_common(1)[0][0]
        raise InputError(
            f"These runs were scored on different text sets, {listed}; only vectors on the same "
            f"texts can be compared, so choose one, for example with the filter "
            f"\"tags.{schema.TAG_TEXT_SET} = '{most}'\"."
        )


def _check_same_parts(runs: Sequence[Point], vectors: Sequence[Vectors]) -> None:
    first, reference = runs[0], vectors[0].bytes
    for run, read in zip(runs, vectors, strict=True):
        if len(read.bytes) != len(reference):
            raise TrackingError(
                f"Run {run.run_id} ({run.name!r}) holds {len(read.bytes)} texts but run "
                f"{first.run_id} ({first.name!r}) holds {len(reference)} of the same text set; "
                "one of them is damaged, so score it again or leave it out."
            )
        if not np.array_equal(read.bytes, reference):
            text = int(np.flatnonzero(read.bytes != reference)[0])
            raise InputError(
                f"{first.name!r} scored {reference[text]} bytes of text {text} and {run.name!r} "
                f"{read.bytes[text]}, because one of them truncated it; make the texts short "
                "enough for every model, or leave one out."
            )


def _check_same_weights(runs: Sequence[Point], vectors: Sequence[Vectors]) -> None:
    """Their scale may differ; none at all are equal ones."""
    first, texts = runs[0], len(vectors[0].bytes)
    reference = _shares(vectors[0], texts)
    for run, read in zip(runs, vectors, strict=True):
        if read.weights is vectors[0].weights:
            continue
        if not np.allclose(_shares(read, texts), reference, rtol=1e-9, atol=0.0):
            raise InputError(
                f"Run {run.run_id} ({run.name!r}) and run {first.run_id} ({first.name!r}) give the "
                "same texts different weights; score both on the same weighted text set, or leave "
                f"one of them out (the tag {schema.TAG_TEXT_WEIGHTS} tells weighted runs apart)."
            )


def _shares(vectors: Vectors, texts: int) -> np.ndarray:
    shares = None if vectors.weights is None else shares_of(vectors.weights)
    return np.full(texts, 1.0 / texts) if shares is None else shares


def _read_all(runs: Sequence[Point]) -> list[Vectors]:
    if all(local_path(run.artifact_uri) is not None for run in runs):
        return [_read_local(run) for run in runs]
    uri = mlflow.get_tracking_uri()
    with (
        quiet(),
        tempfile.TemporaryDirectory(prefix="modelmap-") as folder,
        ThreadPoolExecutor(HTTP_THREADS) as pool,
    ):
        read: Callable[[Point], Vectors] = lambda run: (  # noqa: E731
            _read_local(run)
            if local_path(run.artifact_uri) is not None
            else _read_remote(run, Path(folder) / run.run_id, uri)
        )
        return list(pool.map(read, runs))


def _read_local(run: Point) -> Vectors:
    root = local_path(run.artifact_uri)
    assert root is not None
    path = root / run.vectors
    if not path.is_file():
        hint = "" if root.exists() else f" (and {str(root)!r} is not visible from this machine)"
        raise _damaged(run, f"its artifact {run.vectors} is missing{hint}")
    return _read_file(run, path)


def _read_remote(run: Point, folder: Path, uri: str) -> Vectors:
    try:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{run.artifact_uri.rstrip('/')}/{run.vectors}",
            dst_path=str(folder),
            tracking_uri=uri,
        )
    except Exception as error:
        reason = redact(" ".join(str(error).split()))[:300]
        raise _damaged(run, f"its artifact {run.vectors} cannot be fetched ({reason})") from error
    return _read_file(run, Path(path))


def _read_file(run: Point, path: Path) -> Vectors:
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            missing = set(schema.LOG_LIKELIHOOD_COLUMNS) - set(file.schema_arrow.names)
            if missing:
                raise _damaged(run, f"its vectors lack the column {', '.join(sorted(missing))}")
            wanted = [*schema.LOG_LIKELIHOOD_COLUMNS]
            if schema.WEIGHT_COLUMN in file.schema_arrow.names:
                wanted.append(schema.WEIGHT_COLUMN)
            table = file.read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise _damaged(run, f"its {run.vectors} cannot be read ({reason})") from error
    try:
        return read_table(table)
    except ValueError as error:
        raise _damaged(run, str(error)) from None


def read_table(table: pa.Table) -> Vectors:
    """The vectors in a table of the columns of `schema.LOG_LIKELIHOOD_COLUMNS`.

    A column `schema.WEIGHT_COLUMN` may be there too.

    Raises
    ------
    ValueError
        If texts are missing or repeated, a value is not finite or a weight not positive; the
        message says which.
    """
    if table.num_rows == 0:
        raise ValueError("its vectors hold no rows")
    weighted = schema.WEIGHT_COLUMN in table.column_names
    needed = ("text", "log_likelihood", "scored_tokens", "bytes")
    for name in (*needed, schema.WEIGHT_COLUMN) if weighted else needed:
        if table[name].null_count:
            raise ValueError(f"its column {name} holds empty cells")
    text = _integers(table, "text")
    values = _numbers(table, "log_likelihood")
    tokens, size = _integers(table, "scored_tokens"), _integers(table, "bytes")
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"its log-likelihood of text {text[at]} is {values[at]}")
    if (size <= 0).any():
        raise ValueError(f"its text {text[int(np.argmax(size <= 0))]} has no bytes")
    weight = _numbers(table, schema.WEIGHT_COLUMN) if weighted else np.ones(len(text))
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"its weight of text {text[at]} is {weight[at]}, not a positive number")
    layer = table["layer"]
    if layer.null_count == table.num_rows:
        groups: dict[int | None, Any] = {None: slice(None)}
    else:
        number = np.asarray(layer.cast(pa.float64()).to_numpy(zero_copy_only=False))
        groups = {None: np.isnan(number)} if layer.null_count else {}
        groups |= {int(k): number == k for k in np.unique(number[~np.isnan(number)])}
    vectors: dict[int | None, np.ndarray] = {}
    common: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    for key, rows in groups.items():
        order, of = text[rows], "" if key is None else f" of layer {key}"
        if not np.array_equal(order, np.arange(len(order))):
            rank = np.argsort(order, kind="stable")
            if not np.array_equal(order[rank], np.arange(len(order))):
                raise ValueError(f"its texts{of} are not 0 to {len(order) - 1}, each once")
        else:
            rank = slice(None)  # type: ignore[assignment]
        vectors[key] = values[rows][rank]
        part = (tokens[rows][rank], size[rows][rank], weight[rows][rank])
        if common is None:
            common = part
        elif not np.array_equal(common[1], part[1]):
            raise ValueError(f"its rows{of} are of other texts than its other rows")
        elif not np.array_equal(common[2], part[2]):
            raise ValueError(f"its rows{of} have other weights than its other rows")
    assert common is not None
    own = vectors.pop(None, None)
    layers = {k: v for k, v in vectors.items() if k is not None}
    return Vectors(own, layers, common[0], common[1], common[2] if weighted else None)


def _integers(table: pa.Table, name: str) -> np.ndarray:
    return _numbers(table, name, pa.int64())


def _numbers(table: pa.Table, name: str, kind: Any = None) -> np.ndarray:
    try:
        column = table[name].cast(kind or pa.float64())
    except pa.ArrowException:
        raise ValueError(f"its column {name} holds something else than numbers") from None
    return column.to_numpy()


def _damaged(run: Point, what: str) -> TrackingError:
    return TrackingError(
        f"Run {run.run_id} ({run.name!r}) is damaged: {what}; score it again or leave it out."
    )
