"""Tracking: find, among many, the score runs that a map is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_sizes, read_artifact
from mlflow_modelmap.tracking.runs.checkpoint_index import checkpoints_of
from mlflow_modelmap.tracking.runs.damaged import whole
from mlflow_modelmap.tracking.runs.left_out import LeftOut
from mlflow_modelmap.tracking.runs.point import Point, point_of
from mlflow_modelmap.tracking.runs.readable_or_refused import (
    HTTP_THREADS,
    check_readable,
    find_run,
    find_runs,
    is_readable,
    kind_of,
    readable_of,
)
from mlflow_modelmap.tracking.runs.search import of_kind, search_runs
from mlflow_modelmap.tracking.runs.unique_names import unique_names
from mlflow_modelmap.tracking.runs.vectors_points import points_of
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.tracking.store.experiments import (
    experiment_id,
    experiment_name,
    find_experiments,
)
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed


@quiet()
def select_runs(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    kind: str = schema.KIND_SCORE,
    *,
    notices: list[str] | None = None,
    store: MlflowClient | None = None,
) -> list[Point]:
    """The readable runs of one kind, oldest first, each with its own name.

    Parameters
    ----------
    experiments
        Experiment names. With none, but a filter, all experiments are searched; without any
        choice, the current experiment.
    filter
        MLflow filter string (`tags.x = 'y' AND params.z LIKE '...'`; MLflow knows no OR).
    run_ids
        Runs named one by one, beside those. A sweep's id stands for its runs, a skipped run's for
        the run it found, a monitored training's for its checkpoints, that of imported vectors for
        their points. Of those the filter chooses points as it does runs.
    kind
        ``score``, or another of `tracking.schema`'s kinds.
    notices
        Receives a sentence for whatever was left out.

    Raises
    ------
    InputError
        If nothing is found, an experiment or run is not there, a run that was named cannot be
        read (see `check_readable`), or the filter is malformed.
    TrackingError
        If the store cannot answer, or what a run holds is damaged.
    """
    experiments, run_ids = tuple(experiments), tuple(dict.fromkeys(run_ids))
    store = store or client()
    if not experiments and not run_ids and not filter:
        experiments = (experiment_name(experiment_id(None, store), store),)
    said = notices if notices is not None else []
    named = _named(run_ids, kind, said, store)
    found: list[Run] = []
    if experiments or filter:
        found = _searched(experiments, filter, kind, said, store)
    seen = {run.info.run_id for run in named}
    left = LeftOut(said, run_ids)
    points = _latest(
        _points([run for run in found if run.info.run_id not in seen], left, store, filter),
        {run.data.tags.get(schema.TAG_IDENTITY) for run in named},
        said,
    )
    points += _points(named, left, store)
    left.tell()
    if not points:
        where = f"experiment {listed(experiments, 20)}" if experiments else "the store"
        but = f" ({' '.join(said)})" if said else ""
        matching = f" matches {filter!r}" if filter else " is there"
        raise InputError(
            f"No finished run of kind {kind!r}{matching} in {where}{but}; score models first "
            "(`modelmap score`), or name another experiment (--experiment)."
        )
    points.sort(key=lambda run: (run.start_time, run.run_id))
    return unique_names(points)


def _searched(
    experiments: tuple[str, ...],
    filter: str | None,
    kind: str,
    notices: list[str],
    store: MlflowClient,
) -> list[Run]:
    ids = [experiment.experiment_id for experiment in find_experiments(experiments, store)]
    runs = [run for of in _kinds(kind) for run in search_runs(ids, of_kind(of, filter), store)]
    if kind == schema.KIND_SCORE:  # the filter is for their points
        runs += search_runs(ids, of_kind(schema.KIND_VECTORS), store)
    return readable_of(runs, notices)


def _kinds(kind: str) -> tuple[str, ...]:
    """The kinds of run whose filter is for the run, where runs of one kind are asked for."""
    return (kind, schema.KIND_MONITOR) if kind == schema.KIND_SCORE else (kind,)


def _named(run_ids: Sequence[str], kind: str, notices: list[str], store: MlflowClient) -> list[Run]:
    """The runs with these ids, all readable and of this kind; sweeps and skips followed."""
    kinds: tuple[str, ...] = (kind,)
    if kind == schema.KIND_SCORE:
        kinds = (*_kinds(kind), schema.KIND_VECTORS, schema.KIND_SWEEP, schema.KIND_SKIPPED)
    runs: dict[str, Run] = {}
    for run in find_runs(run_ids, store):
        of = kind_of(run)
        stands_for_others = of in (schema.KIND_SWEEP, schema.KIND_SKIPPED) and of != kind
        check_readable(run, kinds, finished=not stands_for_others)
        if not stands_for_others:
            found = [run]
        elif of == schema.KIND_SKIPPED:
            found = [_found_by(run, kind, store)]
        else:
            found = _of_sweep(run, kind, notices, store)
        runs |= {one.info.run_id: one for one in found}
    return list(runs.values())


def _found_by(skipped: Run, kind: str, store: MlflowClient) -> Run:
    """The score that a skipped run found; anybody may have written the tag that names it."""
    run = find_run(skipped.data.tags.get(schema.TAG_SAME_AS, ""), store)
    check_readable(run, _kinds(kind))
    return run


def _of_sweep(sweep: Run, kind: str, notices: list[str], store: MlflowClient) -> list[Run]:
    """The scores that a sweep made, and those that it found and skipped."""
    info = sweep.info
    ours = of_kind(kind, f"tags.{MLFLOW_PARENT_RUN_ID} = '{info.run_id}'")
    made = readable_of(search_runs([info.experiment_id], ours, store), notices)
    there = artifact_sizes(info.run_id, info.artifact_uri, store.tracking_uri)
    if schema.SWEEP_TABLE not in there and not is_readable(sweep):
        return made  # it was stopped, and has listed nothing
    table = read_artifact(
        info.run_id,
        info.artifact_uri,
        schema.SWEEP_TABLE,
        store,
        columns=("state", "run_id"),
        sizes=there,
    )
    with whole(info.run_id):
        same = [str(of) for of in table.loc[table["state"] == "skipped", "run_id"] if pd.notna(of)]
    left = LeftOut(notices)
    for run_id in dict.fromkeys(same):
        try:
            run = find_run(run_id, store)
            check_readable(run, (kind,))
            made.append(run)
        except InputError as error:
            left.error(run_id, run_id, TrackingError(str(error)))
    left.tell()
    return made


def _latest(runs: list[Point], named: set[str | None], notices: list[str]) -> list[Point]:
    """Of runs with the same identity, the latest; those already named are left to their name."""
    same: dict[str, list[Point]] = {}
    for run in runs:
        if run.identity is None or run.identity not in named:
            same.setdefault(run.identity or run.run_id, []).append(run)
    newest = []
    for of in same.values():
        latest, *earlier = sorted(of, key=lambda run: run.start_time, reverse=True)
        newest.append(replace(latest, earlier=tuple(earlier)))
    if len(newest) < len(runs):
        more = len(runs) - len(newest)
        what = "run repeats" if more == 1 else "runs repeat"
        notices.append(f"{more} {what} another's score; the latest of each was kept.")
    return newest


def _points(
    runs: Sequence[Run], left: LeftOut, store: MlflowClient, filter: str | None = None
) -> list[Point]:
    """One point a run, and one a checkpoint or imported point of those that hold many.

    Of imported points those that match `filter`, if it is given.
    """

    def points(run: Run) -> list[Point] | TrackingError:
        try:
            if kind_of(run) == schema.KIND_MONITOR:
                return checkpoints_of(run, store)
            if kind_of(run) == schema.KIND_VECTORS:
                return points_of(run, store, filter)
            return [point_of(run)]
        except TrackingError as error:
            return error

    many = [run for run in runs if kind_of(run) in (schema.KIND_MONITOR, schema.KIND_VECTORS)]
    if store.tracking_uri.startswith("http") and len(many) > 1:
        with ThreadPoolExecutor(HTTP_THREADS) as pool:
            of = dict(zip((r.info.run_id for r in many), pool.map(points, many), strict=True))
    else:
        of = {run.info.run_id: points(run) for run in many}
    found: list[Point] = []
    for run in runs:
        made = of[run.info.run_id] if run.info.run_id in of else points(run)
        if isinstance(made, TrackingError):
            left.error(run.info.run_id, run.info.run_name or run.info.run_id, made)
        else:
            found += made
    return found
