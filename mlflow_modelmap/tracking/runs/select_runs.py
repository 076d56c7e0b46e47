"""Tracking: find, among many, the score runs that a map is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.runs.checkpoint_index import checkpoints_of
from mlflow_modelmap.tracking.runs.point import Point as Point
from mlflow_modelmap.tracking.runs.point import point_of
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix as read_matrix
from mlflow_modelmap.tracking.store.client import client, experiment_id, find_experiments
from mlflow_modelmap.words.redact import redact

PAGE = 5000
HTTP_THREADS = 12
SWEEP_TABLE = "runs.parquet"
"""Among a sweep's artifacts: what became of each of its models (point, run_id, state, ...)."""


def select_runs(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    kind: str = schema.KIND_SCORE,
    *,
    notices: list[str] | None = None,
    store: MlflowClient | None = None,
) -> list[Point]:
    """The finished runs of one kind, oldest first, each with its own name.

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
        If nothing is found, an experiment or run is not there, a run that
        was named is not finished or of another kind, or the filter is malformed.
    """
    experiments, run_ids = tuple(experiments), tuple(dict.fromkeys(run_ids))
    store = store or client()
    if not experiments and not run_ids and not filter:
        experiments = (store.get_experiment(experiment_id(None, store)).name,)
    said = notices if notices is not None else []
    named = _named(run_ids, kind, store)
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
        where = f"experiment {', '.join(map(repr, experiments))}" if experiments else "the store"
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
    runs: list[Run] = []
    # MLflow's filters know no OR.
    for of in (kind, schema.KIND_MONITOR) if kind == schema.KIND_SCORE else (kind,):
        ours = f"tags.`{schema.TAG_KIND}` = '{of}'"
        runs += _search(store, ids, f"{ours} AND {filter}" if filter else ours)
    complete = [run for run in runs if _complete(run)]
    if len(complete) < len(runs):
        states = Counter(_state(run) for run in runs if not _complete(run))
        listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        notices.append(f"Left out {len(runs) - len(complete)} unfinished runs: {listed}.")
    return complete


def search_score_runs(
    experiment_ids: Sequence[str], filter: str | None, store: MlflowClient
) -> list[Point]:
    """The finished score runs that a filter finds, in no particular order, names as they are."""
    ours = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SCORE}' AND attributes.status = 'FINISHED'"
    runs = _search(store, experiment_ids, f"{ours} AND {filter}" if filter else ours)
    return [point_of(run) for run in runs if _complete(run)]


def _search(store: MlflowClient, ids: Sequence[str], filter: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        try:
            page = store.search_runs(list(ids), filter, max_results=PAGE, page_token=token)
        except MlflowException as error:
            raise InputError(
                f"MLflow cannot search with the filter {filter!r}: {redact(error.message)}"
            ) from error
        runs += page
        token = page.token
        if not token:
            return runs


def _named(run_ids: tuple[str, ...], kind: str, store: MlflowClient) -> list[Run]:
    """The runs with these ids, all complete and of this kind; sweeps and skips followed."""
    runs: list[Run] = []
    for run in _get_runs(run_ids, store):
        of = run.data.tags.get(schema.TAG_KIND)
        if kind == schema.KIND_SCORE and of == schema.KIND_SKIPPED:
            runs += _named((run.data.tags.get(schema.TAG_SAME_AS, ""),), kind, store)
        elif kind == schema.KIND_SCORE and of == schema.KIND_SWEEP:
            children = _search(
                store,
                [run.info.experiment_id],
                f"tags.mlflow.parentRunId = '{run.info.run_id}' AND tags.`{schema.TAG_KIND}` = "
                f"'{schema.KIND_SCORE}'",
            )
            same: list[str] = []
            try:
                listed = read_artifact(run.info.run_id, run.info.artifact_uri, SWEEP_TABLE, store)
                same = listed.loc[listed["state"] == "skipped", "run_id"].tolist()
            except TrackingError:
                if _complete(run):  # one that was stopped has listed nothing
                    raise
            runs += [child for child in children if _complete(child)]
            runs += _named(tuple(same), kind, store)
        elif of != kind and not (kind == schema.KIND_SCORE and of == schema.KIND_MONITOR):
            raise InputError(
                f"Run {run.info.run_id} is of kind {of!r}, not {kind!r}; name another run."
                if of
                else f"Run {run.info.run_id} is no {kind} run of mlflow-modelmap; name another."
            )
        elif not _complete(run):
            reason = run.data.tags.get(schema.TAG_ERROR)
            because = f" ({reason.rstrip('.')})" if reason else ""
            raise InputError(
                f"Run {run.info.run_id} ({run.info.run_name!r}) is {_state(run)}{because}; only "
                "finished runs can be used, so score it again or leave it out."
            )
        else:
            runs.append(run)
    return list({run.info.run_id: run for run in runs}.values())


def _get_runs(run_ids: tuple[str, ...], store: MlflowClient) -> list[Run]:
    def get(run_id: str) -> Run:
        try:
            return store.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise TrackingError(
                    f"Run {run_id!r} cannot be read: {redact(error.message)}"
                ) from error
            raise InputError(
                f"There is no run {run_id!r} in {redact(store.tracking_uri)!r}; copy an id from "
                "the MLflow UI."
            ) from None

    if len(run_ids) < 4 or not store.tracking_uri.startswith("http"):
        return [get(run_id) for run_id in run_ids]
    with ThreadPoolExecutor(HTTP_THREADS) as pool:
        return list(pool.map(get, run_ids))


def _complete(run: Run) -> bool:
    # Each checkpoint of a monitored training is complete once the index lists it, whatever becomes
    # of the training.
    if run.data.tags.get(schema.TAG_KIND) == schema.KIND_MONITOR:
        return run.info.lifecycle_stage == "active"
    return (
        run.info.status == "FINISHED"
        and run.info.lifecycle_stage == "active"
        and schema.TAG_ERROR not in run.data.tags
    )


def _state(run: Run) -> str:
    if run.info.lifecycle_stage != "active":
        return "deleted"
    return "failed" if schema.TAG_ERROR in run.data.tags else run.info.status.lower()


def _latest(runs: list[Point], named: set[str | None], notices: list[str]) -> list[Point]:
    """Of runs with the same identity, the latest; those already named are left to their name."""
    newest: dict[str, Point] = {}
    for run in runs:
        key = run.identity or run.run_id
        if run.identity and run.identity in named:
            continue
        if key not in newest or run.start_time >= newest[key].start_time:
            newest[key] = run
    if len(newest) < len(runs):
        more = len(runs) - len(newest)
        what = "run repeats" if more == 1 else "runs repeat"
        notices.append(f"{more} {what} another's score; the latest of each was kept.")
    return list(newest.values())


def _points(runs: Sequence[Run], store: MlflowClient) -> list[Point]:
    """One point a run, and one a checkpoint of the monitored trainings among them."""
    monitored = [run for run in runs if run.data.tags.get(schema.TAG_KIND) == schema.KIND_MONITOR]
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


def unique_names(runs: Sequence[Point]) -> list[Point]:
    """Make names unique by what tells the runs apart: revision, step, precision, else run id."""
    named = list(runs)
    for attribute in ("revision", "step", "precision", "run_id"):
        count = Counter(run.name for run in named)
        clashing: dict[str, set[object]] = {}
        for run in named:
            if count[run.name] > 1:
                clashing.setdefault(run.name, set()).add(getattr(run, attribute))
        for index, run in enumerate(named):
            value = getattr(run, attribute)
            if len(clashing.get(run.name, ())) > 1 and value is not None:
                shown = {"step": f"step {value}", "run_id": str(value)[:8]}.get(
                    attribute, str(value)
                )
                named[index] = replace(run, name=f"{run.name} ({shown})")
    count = Counter(run.name for run in named)
    return [
        replace(run, name=f"{run.name} ({run.run_id})")
        if count[run.name] > 1 or run.name == "point"  # the name of a column of kl.parquet
        else run
        for run in named
    ]
