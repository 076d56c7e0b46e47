"""Tracking: write the run of a study (map, trajectory, scale, ...) and load it back."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.texts.text_set import digest_of_weights
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_sizes, local_path, read_artifact
from mlflow_modelmap.tracking.runs.description import description
from mlflow_modelmap.tracking.runs.destination import shared_experiment
from mlflow_modelmap.tracking.runs.largest_sizes import PROGRAM, Limit
from mlflow_modelmap.tracking.runs.long_values import whole_params
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.picture import write_png
from mlflow_modelmap.tracking.runs.point import Point, finite
from mlflow_modelmap.tracking.runs.readable_or_refused import check_readable, find_run, kind_of
from mlflow_modelmap.tracking.runs.selection import Selection, list_in, selection_in, vector_param
from mlflow_modelmap.tracking.runs.writable import artifacts_not_written
from mlflow_modelmap.tracking.store.client import check_reachable, client
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.vectors import CONDITIONAL, in_figures

CSV_CELLS = 20_000
"""Tables up to this many cells also go out as CSV, which the UI shows."""


@dataclass(frozen=True, eq=False)
class StudyRun:
    """What the run of a study holds.

    Attributes
    ----------
    run_id, experiment_id, name, kind
        Of the run.
    tables
        Data frames by file name without ending (``points``, ``kl``, ...).
    arrays
        Arrays by file name without ending (``coordinates``).
    metrics, params, tags
        As logged; params that are longer than MLflow keeps are whole.
    selection
        Which runs it was asked for, or None where it does not say.
    notices
        What whoever made it was told, a sentence each.
    """

    run_id: str
    experiment_id: str
    name: str
    kind: str
    tables: dict[str, pd.DataFrame]
    arrays: dict[str, np.ndarray]
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    selection: Selection | None = None
    notices: tuple[str, ...] = ()


def points_table(points: Sequence[Point], **columns: Any) -> pd.DataFrame:
    """``points.parquet``: one row a point, what its run says of it, then further columns.

    Columns: point, run_id, model, revision, commit, trajectory, step (nullable Int64),
    model_type, base_model, precision, layer and, where there are imported points,
    row (nullable Int64), bits_per_byte, noise_kl, and `columns`.
    """
    frame = pd.DataFrame({"point": [p.name for p in points]})
    for name in ("run_id", "model", "revision", "commit", "trajectory"):
        frame[name] = pd.array([getattr(p, name) for p in points], dtype="string")
    frame["step"] = pd.array([p.step for p in points], dtype="Int64")
    for name in ("model_type", "base_model", "precision"):
        frame[name] = pd.array([getattr(p, name) for p in points], dtype="string")
    frame["layer"] = pd.array([p.layer for p in points], dtype="Int64")
    if any(p.imported for p in points):
        frame["row"] = pd.array([p.row for p in points], dtype="Int64")
    for name in ("bits_per_byte", "noise_kl"):
        values = (getattr(p, name) for p in points)
        frame[name] = np.array([np.nan if v is None else v for v in values], dtype=float)
    return frame.assign(**columns)


def square_table(points: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """``kl.parquet`` and its like: column ``point``, then one column a point, same order."""
    frame = pd.DataFrame(values, columns=list(points))
    frame.insert(0, "point", list(points), allow_duplicates=True)
    return frame


def square_of(table: pd.DataFrame) -> pd.DataFrame:
    """A `square_table` as a frame of shape (K, K), whose index and columns are the points."""
    return table.set_index("point").rename_axis(index=None)


def write_study(
    kind: str,
    *,
    tables: Mapping[str, pd.DataFrame] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    figures: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    series: Iterable[tuple[str, int, float]] = (),
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    members: Sequence[Point] = (),
    weights: np.ndarray | None = None,
    selection: Selection | None = None,
    vector: str | None = None,
    notices: Sequence[str] = (),
    then: Callable[[str], Iterable[str]] | None = None,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    store: MlflowClient | None = None,
) -> str:
    """Write one study, complete or FAILED; its run id comes back.

    Parameters
    ----------
    kind
        One of the kinds of `tracking.schema`, such as ``map`` or ``trajectory``.
    tables
        Each goes out as Parquet, small ones also as CSV.
    arrays
        Each goes out as ``.npy`` (never pickled).
    figures
        Matplotlib figures (as PNG), by file name without ending.
    texts
        Whole text files by name with ending (``map.html``, ``summary.json``).
    metrics, series
        Single values, and (name, step, value) for curves; names without ``modelmap/`` get it.
    params, tags
        See `OpenRun.log`.
    members
        The score runs that were gathered; their number, ids and text set are recorded.
    weights
        Of the texts that were used, if they have any: logged as ``weights.npy``.
    selection
        Which runs it was asked for; recorded as params.
    vector
        Which of their vectors it is of, where no selection says so; recorded, and written below
        every figure, if they are not the conditional ones.
    notices
        What its user is told, a sentence each; recorded as a param.
    then
        What is done elsewhere with the run's id once everything is there; the sentences that it
        returns join the notices.
    name, experiment, run_id
        Where to log, see `open_run`. Without a run or experiment: that of the members where they
        share one, else the current one.

    Raises
    ------
    TrackingError
        If the store cannot take it.
    """
    store = store or check_reachable()
    vector = vector or (CONDITIONAL if selection is None else selection.vector)
    below = in_figures(vector)
    for figure in (figures or {}).values() if below else ():
        title = "\n".join(filter(None, (figure.get_suptitle(), f"({below})")))
        figure.suptitle(title, x=0.012, ha="left", fontsize=11)
    params = {
        **(params or {}),
        **(selection.as_params() if selection is not None else vector_param(vector)),
    }
    own_tags = {**_member_tags(members, weights), **(tags or {})}
    if weights is not None:
        arrays = {**(arrays or {}), schema.STUDY_WEIGHTS: weights}
    if not experiment and not run_id:
        experiment = shared_experiment(members, store)
    with open_run(
        kind, store=store, name=name, experiment=experiment, run_id=run_id, tags=own_tags
    ) as run:
        with temporary_folder() as folder:
            _write_files(Path(folder), tables or {}, arrays or {}, figures or {}, texts or {})
            try:
                run.log_folder(folder)
            except Exception as error:  # of whatever holds the artifacts: a disk, S3, a server, ...
                root = store.get_run(run.run_id).info.artifact_uri
                raise artifacts_not_written(root, error) from error
        run.log(params=params, metrics={_prefixed(k): v for k, v in (metrics or {}).items()})
        run.log(tags={schema.TAG_NOTE: description(kind, run.run_id, own_tags)})
        run.log_series((_prefixed(k), step, value) for k, step, value in series)
        said = [*notices, *(then(run.run_id) if then else ())]
        if said:
            run.log(params={schema.PARAM_NOTICES: json.dumps(said, ensure_ascii=False)})
        return run.run_id


def _member_tags(members: Sequence[Point], weights: np.ndarray | None) -> dict[str, Any]:
    if not members:
        return {}
    of_texts = members[0].tags.get(schema.TAG_TEXT_WEIGHTS)
    ids = list(dict.fromkeys(member.run_id for member in members))
    return {
        schema.TAG_MEMBERS: len(ids),
        schema.TAG_TEXT_SET: members[0].text_set,
        schema.TAG_TEXT_SET_NAME: members[0].text_set_name,
        schema.TAG_TEXT_WEIGHTS: (
            None if weights is None else of_texts or digest_of_weights(weights)
        ),
    }


def _prefixed(name: str) -> str:
    folder = f"{schema.ARTIFACT_FOLDER}/"
    return name if name.startswith(folder) else folder + name


def _write_files(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    arrays: Mapping[str, np.ndarray],
    figures: Mapping[str, Any],
    texts: Mapping[str, str],
) -> None:
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
        if table.size <= CSV_CELLS:
            table.to_csv(folder / f"{name}.csv", index=False)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    for name, figure in figures.items():
        write_png(figure, folder / f"{name}.png")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def load_study(
    run_id: str,
    kind: str | None = None,
    *,
    tables: Iterable[str] = (),
    arrays: Iterable[str] = (),
    optional: Iterable[str] = (),
    columns: Mapping[str, Collection[str] | None] | None = None,
    limits: Mapping[str, Limit] | None = None,
    store: MlflowClient | None = None,
) -> StudyRun:
    """Load a study back.

    Parameters
    ----------
    run_id
        Of a run that `write_study` wrote.
    kind
        What it must be, or None for any kind.
    tables, arrays
        Which to load; each must be there. Of weighted texts the array ``weights`` comes with them.
    optional
        Tables and arrays that are loaded where they are there.
    columns
        Of the tables named here only these, as far as they are there; of others all.
    limits
        How much is read, by table, under ``""`` of all others; see `tracking.runs.largest_sizes`.

    Raises
    ------
    InputError
        If there is no such run, or it cannot be read: deleted, of another kind, of a later
        schema or not finished.
    TrackingError
        If one of its files is missing, damaged or too large (it names the run), or the store
        cannot answer.
    """
    store = store or client()
    run = find_run(run_id, store)
    check_readable(run, kind if kind is None else (kind,))
    root = run.info.artifact_uri
    files = [f"{name}.parquet" for name in tables] + [f"{name}.npy" for name in arrays]
    if schema.TAG_TEXT_WEIGHTS in run.data.tags:
        files.append(f"{schema.STUDY_WEIGHTS}.npy")
    with quiet():
        wanted = {f"{name}.{kind}" for name in optional for kind in ("parquet", "npy")}
        sizes = None
        if wanted or local_path(root) is None:
            sizes = artifact_sizes(run_id, root, store.tracking_uri)
            files += sorted(wanted & sizes.keys())
        read = {}
        for name in files:
            table = name.removesuffix(".parquet")
            read[name] = read_artifact(
                run_id,
                root,
                name,
                store,
                columns=(columns or {}).get(table),
                limit=(limits or {}).get(table) or (limits or {}).get("") or PROGRAM,
                sizes=sizes,
            )
        params = whole_params(run, store)
        notices = _notices(run, params, store)
    return StudyRun(
        run_id=run_id,
        experiment_id=run.info.experiment_id,
        name=run.info.run_name or run_id,
        kind=kind_of(run) or "",
        tables={n.removesuffix(".parquet"): f for n, f in read.items() if n.endswith(".parquet")},
        arrays={n.removesuffix(".npy"): a for n, a in read.items() if n.endswith(".npy")},
        metrics={k: v for k, v in run.data.metrics.items() if finite(v) is not None},
        params=params,
        tags=dict(run.data.tags),
        selection=selection_in(params),
        notices=notices,
    )


def notices_of(run: Run, store: MlflowClient) -> tuple[str, ...]:
    """What whoever made a study was told, from its run: a sentence each.

    Raises
    ------
    TrackingError
        If they are longer than MLflow keeps and the artifact that holds them is damaged.
    """
    with quiet():
        return _notices(run, whole_params(run, store), store)


def _notices(run: Run, params: Mapping[str, str], store: MlflowClient) -> tuple[str, ...]:
    if schema.PARAM_NOTICES in params:
        return list_in(params[schema.PARAM_NOTICES])
    if kind_of(run) not in (schema.KIND_WEIGHTS, schema.KIND_LINEAGE):
        return ()
    run_id, root = run.info.run_id, run.info.artifact_uri
    there = artifact_sizes(run_id, root, store.tracking_uri)
    if schema.OLD_NOTICES not in there:
        return ()
    said = read_artifact(run_id, root, schema.OLD_NOTICES, store, sizes=there)
    return tuple(filter(None, said.splitlines()))
