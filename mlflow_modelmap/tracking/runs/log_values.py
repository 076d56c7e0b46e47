"""Tracking: params, metrics, tags and files logged into an open run, as MLflow can hold them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.time import get_current_time_millis

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.long_values import (
    PARAM_CHARACTERS,
    TAG_CHARACTERS,
    cut,
    run_name,
)
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.store.client import hastily
from mlflow_modelmap.tracking.store.failures import despite_races
from mlflow_modelmap.words.redact import redactor

_NOT_IN_A_NAME = re.compile(r"[^\w\-. /]", re.ASCII)

PARAM_PREFIX = "modelmap."


class OfModel(NamedTuple):
    """Which LoggedModel metrics are of, and on which dataset (its name and digest)."""

    model_id: str
    dataset_name: str
    dataset_digest: str


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
    when_ended
        What is done once the store has confirmed that the run is FINISHED; of a run that was
        given, once everything is logged.
    in_vain
        Whether it was made for nothing and is to go, rather than to fail.
    ended
        Whether it has come to its end.
    tags_there
        Tags that were written with it, which need not be written again.
    artifact_uri
        Where its artifacts lie, so that the store need not be asked for it; "" where that is not
        known.
    context
        MLflow's own tags of who runs what, where they were asked for: those of its children too.
    """

    store: MlflowClient
    run_id: str
    experiment_id: str
    name: str
    owned: bool
    there: dict[str, str] = field(default_factory=dict)
    when_ended: list[Callable[[], None]] = field(default_factory=list)
    in_vain: bool = False
    ended: bool = False
    tags_there: dict[str, str] = field(default_factory=dict)
    artifact_uri: str = ""
    context: dict[str, str] = field(default_factory=dict)
    _long: dict[str, str] = field(default_factory=dict)
    _metrics: dict[str, str] = field(default_factory=dict)

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
        step: int = 0,
        model: OfModel | None = None,
    ) -> None:
        """Log params (under ``modelmap.``), metrics (at one step) and tags, in few requests.

        Passwords and tokens are taken out. A value longer than MLflow keeps is shortened visibly
        and logged whole in ``modelmap/long_values.json``. A metric that is not finite is left
        out, and named in the tag ``modelmap.not_finite``. With a `model` metrics are its too.
        """
        of = {} if model is None else model._asdict()
        stamp = get_current_time_millis()
        wrong = [name for name, value in (metrics or {}).items() if not math.isfinite(value)]
        tags = dict(tags or {})
        if wrong:
            tags[schema.TAG_NOT_FINITE] = ", ".join(wrong)
        self.log_entities(
            [
                Metric(self._metric_name(name), float(value), stamp, step, **of)
                for name, value in (metrics or {}).items()
                if name not in wrong
            ],
            self._params(params or {}),
            self._tags(tags),
        )

    def log_series(self, series: Iterable[tuple[str, int, float]]) -> None:
        """Log metrics that have a step, so that the UI draws curves: (name, step, value)."""
        stamp = get_current_time_millis()
        self.log_entities(
            [
                Metric(self._metric_name(name), float(value), stamp, int(step))
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
                self._batch(part, params[:100], tags[:100])
            params, tags = params[100:], tags[100:]
        while params or tags:
            self._batch([], params[:100], tags[:100])
            params, tags = params[100:], tags[100:]

    def _batch(
        self, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        despite_races(lambda: self.store.log_batch(self.run_id, metrics, params, tags))

    def say(self, tag: str, value: str) -> None:
        """Set a tag for whoever looks on; that it cannot be set is no failure."""
        with contextlib.suppress(Exception), hastily():
            self.store.set_tag(self.run_id, tag, value)

    def rename(self, name: str) -> None:
        """Name the run in the UI."""
        name = run_name(name)
        if name != self.name:
            self.store.update_run(self.run_id, name=name)
            self.name = name

    def log_folder(self, folder: str | os.PathLike[str]) -> None:
        """Log every file of a folder under ``modelmap/`` among the run's artifacts."""
        where, address = self.artifact_uri, self.store.tracking_uri
        if not where or where.startswith("dbfs:"):  # Databricks' need what the client knows
            self.store.log_artifacts(self.run_id, os.fspath(folder), schema.ARTIFACT_FOLDER)
            return
        repository = get_artifact_repository(where, tracking_uri=address)
        repository.log_artifacts(os.fspath(folder), schema.ARTIFACT_FOLDER)

    def log_texts(self, dataset: TextSetDataset) -> None:
        """Log a text set as what was scored, for the UI and for filters."""
        context = [InputTag("mlflow.data.context", "scoring")]
        inputs = [DatasetInput(dataset._to_mlflow_entity(), context)]
        despite_races(lambda: self.store.log_inputs(self.run_id, inputs))

    def _metric_name(self, name: str) -> str:
        """As `metric_name`, and of this run's names no two alike but for case: MySQL has one."""
        clean, number = metric_name(name), 1
        kept = clean
        while self._metrics.setdefault(kept.lower(), name) != name:
            number += 1
            kept = f"{clean[:240]} {number}"
        return kept

    def _tags(self, tags: Mapping[str, Any]) -> list[RunTag]:
        kept, clean = [], redactor()
        for name, value in tags.items():
            if value is None:
                continue
            shown = self._fitting("tag", name, clean(_written(value)), TAG_CHARACTERS)
            if self.tags_there.pop(name, None) != shown:
                kept.append(RunTag(name, shown))
        return kept

    def _params(self, params: Mapping[str, Any]) -> list[Param]:
        kept, clean = [], redactor()
        for name, value in params.items():
            if value is None:
                continue
            key = name if name.startswith(PARAM_PREFIX) else f"{PARAM_PREFIX}{name}"
            shown = self._fitting("param", key, clean(_written(value)), PARAM_CHARACTERS)
            if key not in self.there:
                kept.append(Param(key, shown))
                self.there[key] = shown
            elif self.there[key] != shown:
                raise TrackingError(
                    f"Run {self.run_id} already holds the param {key} = {self.there[key]!r}, which "
                    f"cannot become {shown!r}; log into a new run."
                )
        return kept

    def _fitting(self, what: str, name: str, text: str, most: int) -> str:
        if len(text) <= most:
            return text
        self._long[f"{what} {name}"] = text
        self.store.log_dict(self.run_id, self._long, schema.LONG_VALUES)
        return cut(text, most)


def tags_that_fit(tags: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Tags as MLflow holds them, and those that are too long for it."""
    clean = redactor()
    fit = {name: clean(_written(value)) for name, value in tags.items() if value is not None}
    fit = {name: text for name, text in fit.items() if len(text) <= TAG_CHARACTERS}
    return fit, {name: value for name, value in tags.items() if name not in fit}


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
