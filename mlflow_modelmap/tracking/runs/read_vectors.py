"""Tracking: read the log-likelihood vectors of many runs into one matrix; trust nothing in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, shares_of
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_file, local_path
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable import HTTP_THREADS
from mlflow_modelmap.tracking.runs.vector_table import Vectors, read_table
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason


class DamagedRun(TrackingError):
    """The vector of a run is missing or cannot be read, so that the run holds no score.

    `run` is which one, `what` is wrong with it.
    """

    def __init__(self, run: Point, what: str) -> None:
        super().__init__(
            f"Run {run.run_id} ({run.name!r}) is damaged: {what}; score it again or leave it out."
        )
        self.run, self.what = run, what


def read_matrix(
    runs: Sequence[Point], *, layers: bool = False, left_out: list[DamagedRun] | None = None
) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """The log-likelihood matrix of these runs, and a point for each of its rows.

    Parameters
    ----------
    runs
        From `select_runs`; all on the same text set.
    layers
        Whether a run with layer rows gives one point a layer (the last one is the model itself)
        instead of one point.
    left_out
        Receives the runs whose vectors cannot be read, where they are to be left out.

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
        If the store cannot answer.
    DamagedRun
        If an artifact is missing or damaged, and none is left out (or none is left).
    """
    if not runs:
        raise InputError("No runs were given; a map needs at least two.")
    check_text_sets(runs)
    read_of = _read_all(runs, layers)
    damaged = [read for read in read_of if isinstance(read, DamagedRun)]
    if damaged and (left_out is None or len(damaged) == len(runs)):
        raise damaged[0]
    if left_out is not None:
        left_out += damaged
    runs = [run for run, read in zip(runs, read_of, strict=True) if isinstance(read, Vectors)]
    vectors = [read for read in read_of if isinstance(read, Vectors)]
    rows: list[np.ndarray] = []
    points: list[Point] = []
    for run, read in zip(runs, vectors, strict=True):
        if layers and read.layers:
            for layer in sorted(read.layers):
                rows.append(read.layers[layer])
                points.append(replace(run, layer=layer, name=f"{run.name} layer {layer}"))
        else:
            assert read.own is not None
            rows.append(read.own)
            points.append(run)
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
        groups = [
            f"{digest[:12]} ({names[digest] or 'unnamed'}, {count} run{'s' if count > 1 else ''})"
            for digest, count in counts.most_common()
        ]
        most = counts.most_common(1)[0][0]
        raise InputError(
            f"These runs were scored on different text sets, {listed(groups, quoted=False)}; only "
            "vectors on the same texts can be compared, so choose one, for example with the filter "
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


def looks_whole(run: Point, texts: int | None = None) -> bool:
    """Whether the vector of a run is there, as far as can be told without reading it.

    Of a file on this machine the footer is read, which is its last part, and its rows are counted;
    what a store holds elsewhere is judged when it is read.

    Parameters
    ----------
    texts
        How many there must be, if that is known.
    """
    root = local_path(run.artifact_uri)
    if root is None:
        return True
    try:
        held = pq.read_metadata(root / run.vectors)
    except (OSError, pa.ArrowException):
        return False
    there = {held.schema.column(number).name for number in range(held.num_columns)}
    whole = held.num_rows > 0 and (texts is None or held.num_rows % texts == 0)
    return whole and there.issuperset(schema.LOG_LIKELIHOOD_COLUMNS)


def _read_all(runs: Sequence[Point], layers: bool) -> list[Vectors | DamagedRun]:
    """What each run holds, or what is wrong with it."""
    address = mlflow.get_tracking_uri()

    def read(run: Point) -> Vectors | DamagedRun:
        try:
            found = _read(run, address)
        except DamagedRun as damaged:
            return damaged
        if found.own is None and not (layers and found.layers):
            return DamagedRun(run, "it holds layers only, and no row of the model itself")
        return found

    # In place, threads would make it slower.
    if all(local_path(run.artifact_uri) is not None for run in runs):
        return [read(run) for run in runs]
    with quiet(), ThreadPoolExecutor(HTTP_THREADS) as pool:
        return list(pool.map(read, runs))


def _read(run: Point, address: str) -> Vectors:
    try:
        with artifact_file(run.run_id, run.artifact_uri, run.vectors, address) as path:
            return _read_file(run, path)
    except FileNotFoundError as error:
        raise DamagedRun(run, f"its artifact {run.vectors} {error}") from error


def _read_file(run: Point, path: Path) -> Vectors:
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            missing = set(schema.LOG_LIKELIHOOD_COLUMNS) - set(file.schema_arrow.names)
            if missing:
                raise DamagedRun(run, f"its vectors lack the column {', '.join(sorted(missing))}")
            wanted = [*schema.LOG_LIKELIHOOD_COLUMNS]
            if schema.WEIGHT_COLUMN in file.schema_arrow.names:
                wanted.append(schema.WEIGHT_COLUMN)
            table = file.read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        what = f"its artifact {run.vectors} cannot be read ({reason(error)})"
        raise DamagedRun(run, what) from error
    try:
        return read_table(table)
    except ValueError as error:
        raise DamagedRun(run, str(error)) from None
