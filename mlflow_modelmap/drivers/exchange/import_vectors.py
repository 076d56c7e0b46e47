"""Driver: `modelmap import` - the vectors of a file as score runs, or as one run of many points."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.exchange.labels import Labels, read_parents, read_types
from mlflow_modelmap.drivers.exchange.read_file import read_file, texts_beside
from mlflow_modelmap.drivers.exchange.released import KEYS
from mlflow_modelmap.drivers.process.progress import progress_bar
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet, digest_of_weights
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.open_run import inherited_run_id, target_experiment
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.search import of_kind, search_runs
from mlflow_modelmap.tracking.runs.vectors_run import ManyVectors, write_vectors_run
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.runs.write_imported import write_imported_score
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_name
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed

RUNS, VECTORS = "runs", "vectors"
MOST_RUNS = 100
"""Points up to which each becomes a run, where nobody says how."""


@dataclass(frozen=True)
class Imported:
    """What became of a file.

    Attributes
    ----------
    run_ids
        Of the one run of kind ``vectors``, or of the score runs, in the order of the file.
    made_as
        ``runs`` or ``vectors``.
    points, texts
        How many there are.
    found
        How many of the runs were there already, with the same numbers.
    experiment
        Name of the experiment.
    text_set, text_set_name
        Digest and name of the text set.
    notices
        What is to be told, a sentence each.
    """

    run_ids: tuple[str, ...]
    made_as: str
    points: int
    texts: int
    found: int
    experiment: str
    text_set: str
    text_set_name: str | None
    notices: tuple[str, ...] = ()


def import_vectors(
    file: str | os.PathLike[str],
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    keys: str | None = None,
    types: str | os.PathLike[str] | None = None,
    parents: str | os.PathLike[str] | None = None,
    model_format: str | None = None,
    revision_format: str | None = None,
    precision: str | None = None,
    model_type: str | None = None,
    seed: str | None = None,
    made_as: str | None = None,
    name: str | None = None,
    experiment: str | None = None,
    again: bool = False,
    progress: bool = False,
) -> Imported:
    """Make the log-likelihood vectors of a file points that every study reads.

    Parameters
    ----------
    file
        ``.npz``, ``.parquet``, ``.csv``, ``.npy`` or a pickle of arrays, ``.pkl``; docs/vectors.md
        says what each holds.
    texts
        The texts that were scored, as `read_texts` takes them; not needed where the file says
        their bytes and digest, as an exported one does.
    names
        File with the names of an array's rows: a JSON list, or one a line.
    keys
        What the numbers within each name of a pickle are: ``step`` or ``layer``.
    types, parents
        JSON files with the type, and the parents, of each name.
    model_format, revision_format, precision, model_type, seed
        What holds for all points; see `Labels`.
    made_as
        ``runs``, a score run a point, or ``vectors``, one run of all; by default runs up to
        `MOST_RUNS` points that are no layers.
    name
        Of the one run; by default that of the file.
    experiment
        Its experiment, by default the current one.
    again
        Whether to import what is there already.
    progress
        Whether a progress bar is shown on stderr.

    Raises
    ------
    InputError
        If the file, or one beside it, cannot be read or holds what no vectors are.
    TrackingError
        If the store cannot take it. Runs that are there by then stay, and are found again.
    """
    with quiet():
        store = check_reachable()
        if made_as not in (None, RUNS, VECTORS):
            raise InputError(f"Points are imported as {RUNS} or as {VECTORS}, not {made_as!r}.")
        if keys not in (None, *KEYS):
            raise InputError(f"The keys are {listed(KEYS)}, not {keys!r}.")
        labels = Labels(
            model_format,
            revision_format,
            precision,
            model_type,
            seed,
            None if types is None else read_types(types),
            None if parents is None else read_parents(parents),
        )
        text_set = None if texts is None else texts_beside(texts)
        many, notices = read_file(file, names=names, keys=keys, labels=labels, texts=text_set)
        layers = "layer" in many.points
        as_runs = made_as == RUNS or (
            made_as is None and len(many.points) <= MOST_RUNS and not layers
        )
        if as_runs and layers:
            raise InputError(
                "Layers cannot be imported as runs of their own; leave out --as, or give --as "
                "vectors."
            )
        if as_runs and name:
            raise InputError(
                f"The name {name!r} is for one run of all points; give --as vectors, or no name."
            )
        where = target_experiment(store, experiment)  # made only for a file that can be read
        check_artifacts_writable(store, experiment)
        source = Path(os.fspath(file)).name
        log = _log_runs if as_runs else _log_one
        run_ids, found = log(
            many,
            text_set,
            {"imported_from": source, **_asked(labels, keys)},
            name or Path(source).stem,
            where,
            again,
            progress,
            store,
        )
        return Imported(
            run_ids=tuple(run_ids),
            made_as=RUNS if as_runs else VECTORS,
            points=len(many.points),
            texts=len(many.bytes),
            found=found,
            experiment=experiment_name(where, store),
            text_set=many.text_set,
            text_set_name=many.text_set_name,
            notices=notices,
        )


def _asked(labels: Labels, keys: str | None) -> dict[str, str]:
    """What was said beside the file, as params."""
    said = {
        "keys": keys,
        "model_format": labels.model_format,
        "revision_format": labels.revision_format,
    }
    return {name: value for name, value in said.items() if value is not None}


def _log_one(
    many: ManyVectors,
    texts: TextSet | None,
    params: dict[str, str],
    name: str,
    where: str,
    again: bool,
    progress: bool,
    store: MlflowClient,
) -> tuple[list[str], int]:
    identity = _identity(many, many.points["point"], many.values)
    there = {} if again else _there(schema.KIND_VECTORS, where, store)
    if identity in there:
        return [there[identity]], 1
    made = write_vectors_run(
        many,
        store=store,
        texts=texts,
        params=params,
        tags={schema.TAG_IDENTITY: identity, **_weights(many)},
        name=name,
        experiment=experiment_name(where, store),
    )
    return [made], 0


def _log_runs(
    many: ManyVectors,
    texts: TextSet | None,
    params: dict[str, str],
    _: str,
    where: str,
    again: bool,
    progress: bool,
    store: MlflowClient,
) -> tuple[list[str], int]:
    there = {} if again else _there(schema.KIND_SCORE, where, store)
    parent = None if mlflow.active_run() else inherited_run_id()
    run_ids, found = [], 0
    with progress_bar("import", progress, unit="points") as bar:
        for at, row in enumerate(many.points.to_dict("records")):
            bar(at, len(many.points))
            identity = _identity(many, [row["point"]], many.values[at : at + 1])
            if identity in there:
                run_ids.append(there[identity])
                found += 1
                continue
            run_ids.append(
                write_imported_score(
                    replace(many, values=many.values[at : at + 1]),
                    row,
                    texts=texts,
                    params=params,
                    tags={schema.TAG_IDENTITY: identity, **_weights(many)},
                    experiment=experiment_name(where, store),
                    parent_run_id=parent,
                    store=store,
                )
            )
        bar(len(many.points), len(many.points))
    return run_ids, found


def _there(kind: str, where: str, store: MlflowClient) -> dict[str, str]:
    """The readable runs of an experiment by identity, of each the latest."""
    runs = [run for run in search_runs([where], of_kind(kind), store) if is_readable(run)]
    return {
        run.data.tags[schema.TAG_IDENTITY]: run.info.run_id
        for run in reversed(runs)
        if schema.TAG_IDENTITY in run.data.tags
    }


def _weights(many: ManyVectors) -> dict[str, str]:
    return (
        {} if many.weights is None else {schema.TAG_TEXT_WEIGHTS: digest_of_weights(many.weights)}
    )


def _identity(many: ManyVectors, names: Iterable[str], values: np.ndarray) -> str:
    """SHA-256 (hex) of what is imported: the text set, names and numbers, not their labels.

    Numbers count as float64, so that a vector is the same whatever others its file holds.
    """
    sha = hashlib.sha256(f"imported\0{many.text_set}\0".encode())
    for name in names:
        sha.update(f"{name}\0".encode())
    for part in _parts(many, values):
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()


def _parts(many: ManyVectors, values: np.ndarray) -> Iterator[np.ndarray]:
    yield many.bytes
    for of_texts in (many.weights, many.documents):
        if of_texts is not None:
            yield of_texts
    for row in values:
        yield row.astype(np.float64, copy=False)
