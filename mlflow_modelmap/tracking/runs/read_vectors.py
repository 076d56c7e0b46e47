"""Tracking: read the log-likelihood vectors of many runs into one matrix; trust nothing in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, shares_of
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_file, bytes_of, local_path
from mlflow_modelmap.tracking.runs.chosen_vector import (
    REMEDY,
    NotAlone,
    check_layers,
    chosen_vector,
    none_alone,
)
from mlflow_modelmap.tracking.runs.documents import documents_of
from mlflow_modelmap.tracking.runs.largest_sizes import VECTORS, NotRead
from mlflow_modelmap.tracking.runs.left_out import LeftOut
from mlflow_modelmap.tracking.runs.made_again import made_again
from mlflow_modelmap.tracking.runs.parquet_table import read_parquet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import HTTP_THREADS
from mlflow_modelmap.tracking.runs.reading import tell_of_unlike_reading
from mlflow_modelmap.tracking.runs.same_texts import check_same_parts, check_same_weights
from mlflow_modelmap.tracking.runs.vector_table import Vectors, read_table, vectors_digest
from mlflow_modelmap.tracking.runs.vectors_run import read_many
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.vectors import CONDITIONAL, PMI, explained


def read_matrix(
    runs: Sequence[Point],
    *,
    layers: bool = False,
    notices: list[str] | None = None,
    named: Collection[str] = (),
    said: list[str] | None = None,
    vector: str = CONDITIONAL,
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
    vector
        ``conditional``, ``unconditional`` or ``pmi``; bits per byte are those of the conditional
        ones where it is ``pmi``.

    Returns
    -------
    LogLikelihoodMatrix of shape (K, N), list of K Point
        In the order of `runs`, with bits per byte computed from the vectors.

    Raises
    ------
    InputError
        If there are no runs, or their text sets (or the texts' weights, or the parts of them that
        were scored) differ, or none of them has such vectors.
    TrackingError
        If an artifact is missing, damaged or too large and its run may not be left out; it names
        the run. Or if none is left.
    """
    if not runs:
        raise InputError("No runs were given; a map needs at least two.")
    check_layers(layers, vector)
    left = LeftOut(notices, named)
    runs = _with_text_sets(runs, left)
    check_text_sets(runs)
    found = _read_all(runs, layers, left, vector)
    if notices is not None:
        found = _of_the_same_texts(found, left)
    left.tell()
    if not found and vector != CONDITIONAL:
        raise none_alone(len(runs), vector)
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
            rows.append(chosen_vector(read, vector))
            points.append(run if vector == CONDITIONAL else replace(run, noise_kl=None))
    check_same_parts(found)
    check_same_weights(found)
    telling = notices if said is None else said
    tell_of_unlike_reading(points, telling)
    about = explained(vector)
    if telling is not None and about is not None and about not in telling:
        telling.append(about)
    first = found[0][1]
    matrix = LogLikelihoodMatrix(
        np.stack(rows),
        tuple(point.name for point in points),
        first.bytes,
        first.weights,
        documents_of(found, telling),
        likelihoods=np.stack([chosen_vector(of, CONDITIONAL) for _, of in found])
        if vector == PMI
        else None,
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
            "vectors on the same texts can be compared, so choose one by its name or "
            f"digest (--texts {shortened(names[most] or most[:12], 60)!r}, or texts=)."
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


def _read_all(
    runs: Sequence[Point], layers: bool, left: LeftOut, vector: str
) -> list[tuple[Point, Vectors]]:
    """The runs that can be read, each with its vectors."""
    alone = [run for run in runs if not run.imported]
    # In place, threads would make it slower.
    if all(local_path(run.artifact_uri) is not None for run in alone):
        one_by_one = [_read(run, "", layers, vector) for run in alone]
    else:
        address = mlflow.get_tracking_uri()
        with quiet(), ThreadPoolExecutor(HTTP_THREADS) as pool:
            one_by_one = list(pool.map(lambda run: _read(run, address, layers, vector), alone))
    rest, of_many = iter(one_by_one), iter(_many([run for run in runs if run.imported], vector))
    read = [next(of_many if run.imported else rest) for run in runs]
    found: list[tuple[Point, Vectors]] = []
    told: set[str] = set()  # of the runs that hold many points
    for run, vectors in zip(runs, read, strict=True):
        earlier = iter(run.earlier)
        one: Point | None = run
        while one is not None and isinstance(vectors, NotRead):
            if isinstance(vectors, NotAlone):
                why, remedy, again = str(vectors), REMEDY, ""
            else:
                why, remedy = f"is damaged: {vectors}", "score it again or leave it out"
                again = made_again(one)
            if one.run_id not in told:
                left.out(one.run_id, one.name, why, remedy, again)
            if one.imported:
                told.add(one.run_id)
            one = next(earlier, None)
            if one is not None:
                vectors = _read(one, mlflow.get_tracking_uri(), layers, vector)
        if one is not None and not isinstance(vectors, NotRead):
            found.append((replace(one, name=run.name), vectors))
    return found


def _many(runs: Sequence[Point], vector: str) -> list[Vectors | NotRead]:
    """What runs of many points hold of these, or why it cannot be read."""
    found = list(read_many(runs))
    for index, read in enumerate(found):
        try:
            if not isinstance(read, NotRead) and read.own is not None:
                chosen_vector(read, vector)
        except NotRead as error:
            found[index] = error
    return found


def _read(run: Point, address: str, layers: bool, vector: str) -> Vectors | NotRead:
    """What a run holds, or why it cannot be read."""
    if run.imported:
        return _many([run], vector)[0]
    try:
        with artifact_file(run.run_id, run.artifact_uri, run.vectors, address) as path:
            read = _read_file(run, path)
        if read.own is None and not (layers and read.layers):
            raise NotRead("it holds layers only, and no row of the model itself")
        if read.own is not None:
            chosen_vector(read, vector)
    except FileNotFoundError as error:
        return NotRead(f"its artifact {run.vectors} {error}")
    except NotRead as error:
        return error
    return read


def _read_file(run: Point, path: Path) -> Vectors:
    more = (schema.WEIGHT_COLUMN, schema.DOCUMENT_COLUMN, schema.UNCONDITIONAL_COLUMN)
    wanted = (*schema.LOG_LIKELIHOOD_COLUMNS, *more)
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
