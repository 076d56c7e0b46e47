"""Tracking: the one run that a piece of work logs into, whichever door it came through."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import at_work, process_tags
from mlflow_modelmap.tracking.runs.end_run import fail_run, finish_run
from mlflow_modelmap.tracking.runs.log_values import OpenRun, tags_that_fit
from mlflow_modelmap.tracking.runs.long_values import run_name
from mlflow_modelmap.tracking.runs.readable_or_refused import check_not_deleted, find_run, kind_of
from mlflow_modelmap.tracking.store.experiments import experiment_id
from mlflow_modelmap.tracking.store.failures import STORE_ERRORS, not_written
from mlflow_modelmap.tracking.store.quiet import quiet


@contextlib.contextmanager
def open_run(
    kind: str,
    *,
    store: MlflowClient,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    parent_run_id: str | None = None,
    parent: OpenRun | None = None,
    tags: Mapping[str, Any] | None = None,
    nested: bool = True,
) -> Iterator[OpenRun]:
    """The run to log into; FINISHED at the end, FAILED or KILLED with the reason otherwise.

    In this order: the run with `run_id`; a child of `parent` (which is open here, and not asked for
    again) or of `parent_run_id`; a child of
    `mlflow.active_run()`; the run that `mlflow run` made for this process (``MLFLOW_RUN_ID``),
    or a child of it where it already holds something of ours; a new run. With ``nested=False`` a
    new run without a parent, in the experiment where a child would be.

    Raises
    ------
    InputError
        If the given run already holds something, is not there, or `experiment` is another one.
    TrackingError
        If the store does not take it; whatever MLflow raises within the block becomes one.
    """
    with quiet():
        if parent is not None:
            parent.context = parent.context or resolve_tags()
            where, above = parent.experiment_id, parent.run_id
            run = _make(kind, store, name, where, above, tags or {}, parent.context)
        elif nested:
            run = _find_or_make(kind, store, name, experiment, run_id, parent_run_id, tags or {})
        else:
            run = _make(kind, store, name, target_experiment(store, experiment), None, tags or {})
        with at_work(run.run_id, store):
            try:
                yield run
                finish_run(run)
            except BaseException as error:
                if not run.ended:
                    fail_run(run, error)
                if isinstance(error, STORE_ERRORS):
                    what = f"Run {run.run_id} ({run.name!r}) cannot be logged"
                    raise not_written(what, store.tracking_uri, error) from error
                raise


def inherited_run_id() -> str | None:
    """The run that `mlflow run` made for this process, if any."""
    return os.environ.get("MLFLOW_RUN_ID") or None


def joins(store: MlflowClient, run_id: str | None = None) -> bool:
    """Whether `open_run` would log into a run that is there already, rather than make one."""
    if run_id or mlflow.active_run() is not None or not inherited_run_id():
        return bool(run_id)
    return kind_of(find_run(inherited_run_id() or "", store)) is None


def target_experiment(store: MlflowClient, experiment: str | None = None) -> str:
    """The id of the experiment in which `open_run` would make a run."""
    active = mlflow.active_run()
    if not experiment and active is not None:
        return active.info.experiment_id
    inherited = inherited_run_id()
    if not experiment and inherited:
        return find_run(inherited, store).info.experiment_id
    return experiment_id(experiment, store)


def _find_or_make(
    kind: str,
    store: MlflowClient,
    name: str | None,
    experiment: str | None,
    run_id: str | None,
    parent_run_id: str | None,
    tags: Mapping[str, Any],
) -> OpenRun:
    parent: Run | None = None
    if run_id:
        return _join(find_run(run_id, store), kind, store, name, experiment, tags)
    active = mlflow.active_run()
    if parent_run_id:
        parent = find_run(parent_run_id, store)
    elif active is not None:
        parent = find_run(active.info.run_id, store)
    elif inherited_run_id():
        parent = find_run(inherited_run_id() or "", store)
        if kind_of(parent) is None:
            return _join(parent, kind, store, name, experiment, tags)
    if parent is not None and not experiment:
        where = parent.info.experiment_id
    else:
        where = experiment_id(experiment, store)
    return _make(kind, store, name, where, parent.info.run_id if parent else None, tags)


def _make(
    kind: str,
    store: MlflowClient,
    name: str | None,
    where: str,
    parent_run_id: str | None,
    tags: Mapping[str, Any],
    context: Mapping[str, str] | None = None,
) -> OpenRun:
    own_tags = {
        **(resolve_tags() if context is None else context),
        **process_tags(),
        schema.TAG_SCHEMA: schema.SCHEMA_VERSION,
        schema.TAG_KIND: kind,
    }
    # By some of these a restart knows its own: no kill may fall before they are there.
    name = name and run_name(name)
    written, longer = tags_that_fit(tags)
    own_tags |= written
    if parent_run_id is not None:
        own_tags[MLFLOW_PARENT_RUN_ID] = parent_run_id
    try:
        made = store.create_run(where, tags=own_tags, run_name=name)
    except STORE_ERRORS as error:
        raise not_written("A run cannot be made", store.tracking_uri, error) from error
    run = OpenRun(store, made.info.run_id, where, made.info.run_name or "", owned=True)
    run.tags_there.update(written)
    run.artifact_uri = made.info.artifact_uri
    try:
        run.log(tags=longer)
    except BaseException as error:
        fail_run(run, error)
        if isinstance(error, STORE_ERRORS):
            what = f"Run {run.run_id} ({run.name!r}) cannot be logged"
            raise not_written(what, store.tracking_uri, error) from error
        raise
    return run


def _join(
    there: Run,
    kind: str,
    store: MlflowClient,
    name: str | None,
    experiment: str | None,
    tags: Mapping[str, Any],
) -> OpenRun:
    info = there.info
    check_not_deleted(there)
    held = kind_of(there)
    if held:
        raise InputError(
            f"Run {info.run_id} already holds a {held} of mlflow-modelmap; name another run."
        )
    if info.status not in ("RUNNING", "SCHEDULED"):
        raise InputError(
            f"Run {info.run_id} has ended ({info.status}); name a run that is still open."
        )
    if experiment and experiment_id(experiment, store) != info.experiment_id:
        raise InputError(
            f"Run {info.run_id} is not in the experiment {experiment!r}; leave the experiment out "
            "or name another run."
        )
    name = name and run_name(name)
    run = OpenRun(
        store,
        info.run_id,
        info.experiment_id,
        name or info.run_name or "",
        owned=False,
        there=dict(there.data.params),
        artifact_uri=info.artifact_uri,
    )
    try:
        if name and name != info.run_name:
            store.update_run(info.run_id, name=name)
        ours = {schema.TAG_SCHEMA: schema.SCHEMA_VERSION, schema.TAG_KIND: kind}
        run.log(tags={**ours, **process_tags(began_before=True), **tags})
    except BaseException as error:
        fail_run(run, error)
        if isinstance(error, STORE_ERRORS):
            what = f"Run {run.run_id} ({run.name!r}) cannot be logged"
            raise not_written(what, store.tracking_uri, error) from error
        raise
    return run
