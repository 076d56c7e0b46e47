"""Tracking: read the log-likelihood vectors of many runs into one matrix; trust nothing in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
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
from mlflow_modelmap.tracking.runs.artifacts import artifact_file, bytes_of, local_path
from mlflow_modelmap.tracking.runs.documents import documents_of
from mlflow_modelmap.tracking.runs.largest_sizes import VECTORS, NotRead
from mlflow_modelmap.tracking.runs.left_out import LeftOut
from mlflow_modelmap.tracking.runs.made_again import made_again
from mlflow_modelmap.tracking.runs.parquet_table import read_parquet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import HTTP_THREADS
from mlflow_modelmap.tracking.runs.reading import tell_of_unlike_reading
from mlflow_modelmap.tracking.runs.vector_table import Vectors, read_table, vectors_digest
from mlflow_modelmap.tracking.runs.vectors_run import read_many
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened


def read_matrix(
    runs: Sequence[Point],
    *,
    layers: bool = False,
    notices: list[str] | None = None,
    named: Collection[str] = (),
    said: list[str] | None = None,
) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """The log-likelihood matrix of these runs, and a point for each of its rows.

    Parameters
    ----------
    runs
        From `select_runs`; all on the same text set.
    layers
        Whether a run with layer rows gives one point a layer (the last one is the model itself)
        instead of one point.
    notices
        Where they were chosen as many: receives a sentence for each that cannot be read, and the
        others are read without it. Without, it is refused.
    named
        Ids of runs that are refused all the same, because somebody named them.
    said
        Receives what is to be told of the texts; by default `notices` does.

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
        If an artifact is missing, damaged or too large and its run may not be left out; it names
        the run. Or if none is left.
    """
    if not runs:
        raise InputError("No runs were given; a map needs at least two.")
    left = LeftOut(notices, named)
    runs = _with_text_sets(runs, left)
    check_text_sets(runs)
    found = _read_all(runs, layers, left)
    if notices is not None:
        found = _of_the_same_texts(found, left)
    left.tell()
    if not found:
        raise TrackingError(
            f"None of the {len(runs)} runs can be read ({' '.join(notices or ())}); score the "
            "models again."
        )
    rows: list[np.ndarray] = []
    points: list[Point] = []
    for run, read in found:
        if layers and read.layers:
            for layer in sorted(read.layers):
                rows.append(read.layers[layer])
                points.append(
                    replace(run, layer=layer, name=f"{run.name} layer {layer}", noise_kl=None)
                )
        else:
            assert read.own is not None
            rows.append(read.own)
            points.append(run)
    _check_same_parts(found)
    _check_same_weights(found)
    telling = notices if said is None else said
    tell_of_unlike_reading(points, telling)
    first = found[0][1]
    matrix = LogLikelihoodMatrix(
        np.stack(rows),
        tuple(point.name for point in points),
        first.bytes,
        first.weights,
        documents_of(found, telling),
    )
    bits = bits_per_byte(matrix)
    return matrix, [
        replace(point, bits_per_byte=float(value))
        for point, value in zip(points, bits, strict=True)
    ]


def _with_text_sets(runs: Sequence[Point], left: LeftOut) -> list[Point]:
    """The runs that say their text set."""
    found = []
    for run in runs:
        if run.text_set:
            found.append(run)
        else:
            left.out(
                run.run_id,
                run.name,
                f"has no tag {schema.TAG_TEXT_SET} with the digest of its text set",
                "set it, or leave the run out",
            )
    if not found:
        left.tell()
        raise TrackingError(
            f"None of the {len(runs)} runs says its text set; set the tag {schema.TAG_TEXT_SET}."
        )
    return found


def check_text_sets(runs: Sequence[Point]) -> None:
    """Vectors on different texts never meet.

    Raises
    ------
    InputError
        Naming the digests, how many runs have each, and how to choose one.
    """
    counts = Counter(run.text_set for run in runs)
    if len(counts) > 1:
        names = {run.text_set: run.text_set_name for run in runs}
        groups = [
            f"{digest[:12]} ({shortened(names[digest] or 'unnamed', 60)}, {count} "
            f"run{'s' if count > 1 else ''})"
            for digest, count in counts.most_common()
        ]
        most = counts.most_common(1)[0][0]
        raise InputError(
            f"These runs were scored on different text sets, {listed(groups, quoted=False)}; only "
            "vectors on the same texts can be compared, so choose one, for example with the filter "
            f"\"tags.{schema.TAG_TEXT_SET} = '{shortened(most)}'\"."
        )


def _of_the_same_texts(
    found: Sequence[tuple[Point, Vectors]], left: LeftOut
) -> list[tuple[Point, Vectors]]:
    """Those that hold as many texts, with the same weights, as more than half of them do.

    Where there is no such majority nobody can tell which is damaged, and all stay.
    """
    for what, of in (("texts", _texts), ("weights", _weights)):
        keys = [of(read) for _, read in found]
        if len(set(keys)) < 2:
            continue
        most, count = Counter(keys).most_common(1)[0]
        if 2 * count <= len(keys):
            continue
        kept = []
        for (run, read), key in zip(found, keys, strict=True):
            if key == most:
                kept.append((run, read))
                continue
            why = (
                f"holds {key} texts where most hold {most} of the same text set"
                if what == "texts"
                else "gives the texts other weights than most do"
            )
            left.out(run.run_id, run.name, why, "score it again or leave it out")
        found = kept
    return list(found)


def _texts(read: Vectors) -> object:
    return len(read.bytes)


def _weights(read: Vectors) -> object:
    """Their scale may differ; none at all are equal ones."""
    shares = None if read.weights is None else shares_of(read.weights)
    return None if shares is None else np.float32(shares).tobytes()


def _check_same_parts(found: Sequence[tuple[Point, Vectors]]) -> None:
    first, reference = found[0][0], found[0][1].bytes
    for run, read in found:
        if len(read.bytes) != len(reference):
            raise TrackingError(
                f"Run {run.run_id} ({_name(run)}) holds {len(read.bytes)} texts but run "
                f"{first.run_id} ({_name(first)}) holds {len(reference)} of the same text set; "
                "one of them is damaged, so score it again or leave it out."
            )
        if not np.array_equal(read.bytes, reference):
            text = int(np.flatnonzero(read.bytes != reference)[0])
            raise InputError(
                f"{_name(first)} scored {reference[text]} bytes of text {text} and {_name(run)} "
                f"{read.bytes[text]}, because one of them truncated it; make the texts short "
                "enough for every model, or leave one out."
            )


def _check_same_weights(found: Sequence[tuple[Point, Vectors]]) -> None:
    """Their scale may differ; none at all are equal ones."""
    first, vectors = found[0]
    texts = len(vectors.bytes)
    reference = _shares(vectors, texts)
    for run, read in found:
        if read.weights is vectors.weights:
            continue
        if not np.allclose(_shares(read, texts), reference, rtol=1e-9, atol=0.0):
            raise InputError(
                f"Run {run.run_id} ({_name(run)}) and run {first.run_id} ({_name(first)}) give the "
                "same texts different weights; score both on the same weighted text set, or leave "
                f"one of them out (the tag {schema.TAG_TEXT_WEIGHTS} tells weighted runs apart)."
            )


def _name(run: Point) -> str:
    return repr(shortened(run.name, 60))


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
    except (OSError, ValueError, pa.ArrowException):
        return False
    there = {held.schema.column(number).name for number in range(held.num_columns)}
    whole = held.num_rows > 0 and (texts is None or held.num_rows % texts == 0)
    return whole and there.issuperset(schema.LOG_LIKELIHOOD_COLUMNS)


def _read_all(runs: Sequence[Point], layers: bool, left: LeftOut) -> list[tuple[Point, Vectors]]:
    """The runs that can be read, each with its vectors."""
    alone = [run for run in runs if not run.imported]
    # In place, threads would make it slower.
    if all(local_path(run.artifact_uri) is not None for run in alone):
        one_by_one = [_read(run, "", layers) for run in alone]
    else:
        address = mlflow.get_tracking_uri()
        with quiet(), ThreadPoolExecutor(HTTP_THREADS) as pool:
            one_by_one = list(pool.map(lambda run: _read(run, address, layers), alone))
    rest, of_many = iter(one_by_one), iter(read_many([run for run in runs if run.imported]))
    read = [next(of_many if run.imported else rest) for run in runs]
    found: list[tuple[Point, Vectors]] = []
    told: set[str] = set()  # of the runs that hold many points
    for run, vectors in zip(runs, read, strict=True):
        earlier = iter(run.earlier)
        one: Point | None = run
        while one is not None and isinstance(vectors, NotRead):
            why, remedy = f"is damaged: {vectors}", "score it again or leave it out"
            if one.run_id not in told:
                left.out(one.run_id, one.name, why, remedy, made_again(one))
            if one.imported:
                told.add(one.run_id)
            one = next(earlier, None)
            if one is not None:
                vectors = _read(one, mlflow.get_tracking_uri(), layers)
        if one is not None and not isinstance(vectors, NotRead):
            found.append((replace(one, name=run.name), vectors))
    return found


def _read(run: Point, address: str, layers: bool) -> Vectors | NotRead:
    """What a run holds, or why it cannot be read."""
    if run.imported:
        return read_many([run])[0]
    try:
        with artifact_file(run.run_id, run.artifact_uri, run.vectors, address) as path:
            read = _read_file(run, path)
    except FileNotFoundError as error:
        return NotRead(f"its artifact {run.vectors} {error}")
    except NotRead as error:
        return error
    if read.own is None and not (layers and read.layers):
        return NotRead("it holds layers only, and no row of the model itself")
    return read


def _read_file(run: Point, path: Path) -> Vectors:
    wanted = (*schema.LOG_LIKELIHOOD_COLUMNS, schema.WEIGHT_COLUMN, schema.DOCUMENT_COLUMN)
    try:
        table = read_parquet(bytes_of(path, VECTORS), VECTORS, wanted)
    except NotRead as error:
        raise NotRead(f"its artifact {run.vectors} {error}") from None
    except Exception as error:  # of pyarrow, whatever a damaged file makes of it
        raise NotRead(f"its artifact {run.vectors} cannot be read ({reason(error)})") from error
    missing = set(schema.LOG_LIKELIHOOD_COLUMNS) - set(table.column_names)
    if missing:
        raise NotRead(f"its vectors lack the column {', '.join(sorted(missing))}")
    try:
        vectors = read_table(table)
    except ValueError as error:
        raise NotRead(str(error)) from None
    _check_as_scored(run, vectors)
    return vectors


def _check_as_scored(run: Point, vectors: Vectors) -> None:
    """The artifact must be the one that was scored, where the run says which that was."""
    said = run.tags.get(schema.TAG_VECTOR)
    if said is not None and said != vectors_digest(vectors):
        where = schema.CHECKPOINT_INDEX if run.monitored else f"the tag {schema.TAG_VECTOR}"
        raise NotRead(
            f"its artifact {run.vectors} is another one than was scored (it has the digest "
            f"{vectors_digest(vectors)[:12]}, and {where} says {said[:12]!r})"
        )
