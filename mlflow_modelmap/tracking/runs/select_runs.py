"""Tracking: find, among many, the score runs that a map is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_names, read_artifact
from mlflow_modelmap.tracking.runs.checkpoint_index import checkpoints_of
from mlflow_modelmap.tracking.runs.point import Point, point_of
from mlflow_modelmap.tracking.runs.read_vectors import looks_whole
from mlflow_modelmap.tracking.runs.readable import (
    HTTP_THREADS,
    check_readable,
    find_runs,
    is_readable,
    kind_of,
    readable_of,
)
from mlflow_modelmap.tracking.runs.search import of_kind, search_runs
from mlflow_modelmap.tracking.runs.unique_names import unique_names
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
        the run it found, a monitored training's for its checkpoints.
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
    points = _latest(
        _points([run for run in found if run.info.run_id not in seen], store),
        {run.data.tags.get(schema.TAG_IDENTITY) for run in named},
        said,
    )
    points += _points(named, store)
    if not points:
        where = f"experiment {listed(experiments, 20)}" if experiments else "the store"
        but = f" ({' '.join(said)})" if said else ""
        matching = f" matches {filter!r}" if filter else " is there"
        raise InputError(
            f"No finished run of kind {kind!r}{matching} in {where}{but}; score models first, or "
            "look elsewhere."
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
    kinds = (kind, schema.KIND_MONITOR) if kind == schema.KIND_SCORE else (kind,)
    runs = [run for of in kinds for run in search_runs(ids, of_kind(of, filter), store)]
    return readable_of(runs, notices)


def _named(run_ids: Sequence[str], kind: str, notices: list[str], store: MlflowClient) -> list[Run]:
    """The runs with these ids, all readable and of this kind; sweeps and skips followed."""
    kinds: tuple[str, ...] = (kind,)
    if kind == schema.KIND_SCORE:
        kinds = (kind, schema.KIND_MONITOR, schema.KIND_SWEEP, schema.KIND_SKIPPED)
    runs: dict[str, Run] = {}
    for run in find_runs(run_ids, store):
        of = kind_of(run)
        stands_for_others = of in (schema.KIND_SWEEP, schema.KIND_SKIPPED) and of != kind
        check_readable(run, kinds, finished=not stands_for_others)
        if not stands_for_others:
            found = [run]
        elif of == schema.KIND_SKIPPED:
            found = _named((run.data.tags.get(schema.TAG_SAME_AS, ""),), kind, notices, store)
        else:
            found = _of_sweep(run, kind, notices, store)
        runs |= {one.info.run_id: one for one in found}
    return list(runs.values())


def _of_sweep(sweep: Run, kind: str, notices: list[str], store: MlflowClient) -> list[Run]:
    """The scores that a sweep made, and those that it found and skipped."""
    info = sweep.info
    ours = of_kind(kind, f"tags.{MLFLOW_PARENT_RUN_ID} = '{info.run_id}'")
    made = readable_of(search_runs([info.experiment_id], ours, store), notices)
    there = artifact_names(info.run_id, info.artifact_uri, store.tracking_uri)
    if schema.SWEEP_TABLE not in there and not is_readable(sweep):
        return made  # it was stopped, and has listed nothing
    table = read_artifact(info.run_id, info.artifact_uri, schema.SWEEP_TABLE, store)
    same = table.loc[table["state"] == "skipped", "run_id"].tolist()
    return made + _named(same, kind, notices, store)


def _latest(runs: list[Point], named: set[str | None], notices: list[str]) -> list[Point]:
    """Of runs with the same identity, the latest; those already named are left to their name."""
    newest: dict[str, Point] = {}
    for run in runs:
        key = run.identity or run.run_id
        if run.identity and run.identity in named:
            continue
        before = newest.setdefault(key, run)
        if before is not run:
            newest[key] = _better(before, run)
    if len(newest) < len(runs):
        more = len(runs) - len(newest)
        what = "run repeats" if more == 1 else "runs repeat"
        notices.append(f"{more} {what} another's score; the latest of each was kept.")
    return list(newest.values())


def _better(one: Point, other: Point) -> Point:
    """The later of two runs of the same score, unless it is damaged and the other is not."""
    earlier, later = sorted((one, other), key=lambda run: run.start_time)
    return earlier if not looks_whole(later) and looks_whole(earlier) else later


def _points(runs: Sequence[Run], store: MlflowClient) -> list[Point]:
    """One point a run, and one a checkpoint of the monitored trainings among them."""
    monitored = [run for run in runs if kind_of(run) == schema.KIND_MONITOR]
    if store.tracking_uri.startswith("http") and len(monitored) > 1:
        with ThreadPoolExecutor(HTTP_THREADS) as pool:
            found = list(pool.map(lambda run: checkpoints_of(run, store), monitored))
    else:
        found = [checkpoints_of(run, store) for run in monitored]
    of = {run.info.run_id: points for run, points in zip(monitored, found, strict=True)}
    return [
        point
        for run in runs
        for point in (of[run.info.run_id] if run.info.run_id in of else [point_of(run)])
    ]
