"""Tracking: the one run that a piece of work logs into, whichever door it came through."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.long_values import (
    LONG_VALUES,
    PARAM_CHARACTERS,
    TAG_CHARACTERS,
    cut,
)
from mlflow_modelmap.tracking.store.client import experiment_id, now, quiet
from mlflow_modelmap.words.redact import redact

NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"

_NOT_IN_A_NAME = re.compile(r"[^\w\-. /]", re.ASCII)


@dataclass
class OpenRun:
    """A run to log into.

    Attributes
    ----------
    store
        Client of its tracking store.
    run_id, experiment_id, name
        Of the run.
    owned
        Whether the work made this run and therefore ends it. A run that was given is ended by
        whoever opened it; here it only ever becomes FAILED.
    """

    store: MlflowClient
    run_id: str
    experiment_id: str
    name: str
    owned: bool
    there: dict[str, str] = field(default_factory=dict)
    _long: dict[str, str] = field(default_factory=dict)

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
        step: int = 0,
    ) -> None:
        """Log params (under ``modelmap.``), metrics (at one step) and tags, in few requests.

        Passwords and tokens are taken out. A value longer than MLflow keeps is shortened visibly
        and logged whole in ``modelmap/long_values.json``. A metric that is not finite is left
        out, and named in the tag ``modelmap.not_finite``.
        """
        stamp = now()
        wrong = [name for name, value in (metrics or {}).items() if not math.isfinite(value)]
        tags = dict(tags or {})
        if wrong:
            tags[schema.TAG_NOT_FINITE] = ", ".join(wrong)
        self.log_entities(
            [
                Metric(metric_name(name), float(value), stamp, step)
                for name, value in (metrics or {}).items()
                if name not in wrong
            ],
            self._params(params or {}),
            [
                RunTag(name, self._fitting("tag", name, value, TAG_CHARACTERS))
                for name, value in tags.items()
                if value is not None
            ],
        )

    def log_series(self, series: Iterable[tuple[str, int, float]]) -> None:
        """Log metrics that have a step, so that the UI draws curves: (name, step, value)."""
        stamp = now()
        self.log_entities(
            [
                Metric(metric_name(name), float(value), stamp, int(step))
                for name, step, value in series
                if math.isfinite(value)
            ]
        )

    def log_entities(
        self,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        """`log_batch` in pieces of the sizes that every MLflow server takes."""
        params, tags = list(params), list(tags)
        for start in range(0, max(len(metrics), 1), 800):
            part = list(metrics[start : start + 800])
            if part or params or tags:
                self.store.log_batch(self.run_id, part, params[:100], tags[:100])
            params, tags = params[100:], tags[100:]
        while params or tags:
            self.store.log_batch(self.run_id, [], params[:100], tags[:100])
            params, tags = params[100:], tags[100:]

    def rename(self, name: str) -> None:
        """Name the run in the UI."""
        if name != self.name:
            self.store.update_run(self.run_id, name=name)
            self.name = name

    def log_folder(self, folder: str | os.PathLike[str]) -> None:
        """Log every file of a folder under ``modelmap/`` among the run's artifacts."""
        self.store.log_artifacts(self.run_id, os.fspath(folder), schema.ARTIFACT_FOLDER)

    def _params(self, params: Mapping[str, Any]) -> list[Param]:
        kept = []
        for name, value in params.items():
            if value is None:
                continue
            key = name if name.startswith("modelmap.") else f"modelmap.{name}"
            shown = self._fitting("param", key, value, PARAM_CHARACTERS)
            if key not in self.there:
                kept.append(Param(key, shown))
                self.there[key] = shown
            elif self.there[key] != shown:
                raise TrackingError(
                    f"Run {self.run_id} already holds the param {key} = {self.there[key]!r}, which "
                    f"cannot become {shown!r}; log into a new run."
                )
        return kept

    def _fitting(self, what: str, name: str, value: Any, most: int) -> str:
        text = redact(_written(value))
        if len(text) <= most:
            return text
        self._long[f"{what} {name}"] = text
        self.store.log_dict(self.run_id, self._long, LONG_VALUES)
        return cut(text, most)


def _written(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else json.dumps(value)
        if isinstance(value, (bool, list, tuple, dict))
        else str(value)
    )


def metric_name(name: str) -> str:
    """`name` with what MLflow takes in no metric name (``@ + ( ) [ ] , = | :``) replaced by _."""
    clean = re.sub(r"/{2,}", "/", _NOT_IN_A_NAME.sub("_", name)).strip("/ ")
    return clean[:250]


@contextlib.contextmanager
def open_run(
    kind: str,
    *,
    store: MlflowClient,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    nested: bool = True,
) -> Iterator[OpenRun]:
    """The run to log into; FINISHED at the end, FAILED or KILLED with the reason otherwise.

    In this order: the run with `run_id`; a child of `parent_run_id`; a child of
    `mlflow.active_run()`; the run that `mlflow run` made for this process (``MLFLOW_RUN_ID``),
    or a child of it where it already holds something of ours; a new run. With ``nested=False`` a
    new run without a parent, in the experiment where a child would be.

    Raises
    ------
    InputError
        If the given run already holds something, is not there, or `experiment` is another one.
    """
    with quiet():
        if nested:
            run = _find_or_make(kind, store, name, experiment, run_id, parent_run_id, tags or {})
        else:
            run = _make(kind, store, name, target_experiment(store, experiment), None, tags or {})
        try:
            yield run
            if run.owned:
                store.set_terminated(run.run_id, "FINISHED")
        except BaseException as error:
            fail_run(run, error)
            raise


def fail_run(run: OpenRun, error: BaseException) -> None:
    """Mark a run FAILED (KILLED where somebody stopped it) with its reason in one sentence."""
    stopped = isinstance(error, (KeyboardInterrupt, GeneratorExit))
    reason = redact(
        "Stopped before the end."
        if stopped
        else str(error)
        if isinstance(error, ModelMapError)
        else f"{type(error).__name__}: {error}"
    )[:2000]
    # The store itself may be what failed: the error on its way up says more than one from here.
    with contextlib.suppress(Exception):
        run.store.log_batch(
            run.run_id, tags=[RunTag(schema.TAG_ERROR, reason), RunTag(NOTE, reason)]
        )
    with contextlib.suppress(Exception):
        run.store.set_terminated(run.run_id, "KILLED" if stopped else "FAILED")


def inherited_run_id() -> str | None:
    """The run that `mlflow run` made for this process, if any."""
    return os.environ.get("MLFLOW_RUN_ID") or None


def joins(store: MlflowClient, run_id: str | None = None) -> bool:
    """Whether `open_run` would log into a run that is there already, rather than make one."""
    if run_id or mlflow.active_run() is not None or not inherited_run_id():
        return bool(run_id)
    return schema.TAG_KIND not in existing_run(store, inherited_run_id() or "").data.tags


def target_experiment(store: MlflowClient, experiment: str | None = None) -> str:
    """The id of the experiment in which `open_run` would make a run."""
    active = mlflow.active_run()
    if not experiment and active is not None:
        return active.info.experiment_id
    inherited = inherited_run_id()
    if not experiment and inherited:
        return existing_run(store, inherited).info.experiment_id
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
        return _join(existing_run(store, run_id), kind, store, name, experiment, tags)
    active = mlflow.active_run()
    if parent_run_id:
        parent = existing_run(store, parent_run_id)
    elif active is not None:
        parent = existing_run(store, active.info.run_id)
    elif inherited_run_id():
        parent = existing_run(store, inherited_run_id() or "")
        if schema.TAG_KIND not in parent.data.tags:
            return _join(parent, kind, store, name, experiment, tags)
    if parent is not None and not experiment:
        where = parent.info.experiment_id
    else:
        where = experiment_id(experiment, store)
    return _make(kind, store, name, where, parent, tags)


def _make(
    kind: str,
    store: MlflowClient,
    name: str | None,
    where: str,
    parent: Run | None,
    tags: Mapping[str, Any],
) -> OpenRun:
    own_tags = {**resolve_tags(), schema.TAG_SCHEMA: schema.SCHEMA_VERSION, schema.TAG_KIND: kind}
    if parent is not None:
        own_tags[PARENT] = parent.info.run_id
    made = store.create_run(where, tags=own_tags, run_name=name)
    run = OpenRun(store, made.info.run_id, where, made.info.run_name or "", owned=True)
    try:
        run.log(tags=tags)
    except BaseException as error:
        fail_run(run, error)
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
    held = there.data.tags.get(schema.TAG_KIND)
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
    run = OpenRun(
        store,
        info.run_id,
        info.experiment_id,
        name or info.run_name or "",
        owned=False,
        there=dict(there.data.params),
    )
    try:
        if name and name != info.run_name:
            store.update_run(info.run_id, name=name)
        run.log(tags={schema.TAG_SCHEMA: schema.SCHEMA_VERSION, schema.TAG_KIND: kind, **tags})
    except BaseException as error:
        fail_run(run, error)
        raise
    return run


def existing_run(store: MlflowClient, run_id: str) -> Run:
    """A run to log into.

    Raises
    ------
    InputError
        If it is not there.
    """
    try:
        return store.get_run(run_id)
    except MlflowException as error:
        raise InputError(
            f"There is no run {run_id!r} in {redact(store.tracking_uri)!r} to log into: "
            f"{redact(error.message)}"
        ) from error
