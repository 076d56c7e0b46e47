"""Tracking: a training's run that takes up its checkpoints' vectors, one by one, as it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunInfo
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.time import get_current_time_millis

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.machine.signals import shielded
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import begin as begin_work
from mlflow_modelmap.tracking.runs.alive import end as end_work
from mlflow_modelmap.tracking.runs.alive import left_over, let_go, process_tags
from mlflow_modelmap.tracking.runs.checkpoint_index import (
    DIGEST,
    checkpoints_of,
    read_index,
)
from mlflow_modelmap.tracking.runs.end_run import end_patiently, verdict_of
from mlflow_modelmap.tracking.runs.log_values import OfModel, OpenRun
from mlflow_modelmap.tracking.runs.logged_model import model_of
from mlflow_modelmap.tracking.runs.long_values import run_name
from mlflow_modelmap.tracking.runs.open_run import inherited_run_id
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.readable_or_refused import (
    check_not_deleted,
    check_readable,
    find_run,
    kind_of,
)
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.vector_table import vectors_digest, vectors_of, write_vectors
from mlflow_modelmap.tracking.store.experiments import experiment_id

PREFIX = f"{schema.ARTIFACT_FOLDER}/"
_GOING_ON = ("RUNNING", "SCHEDULED")
Drawn = Callable[[str, float], bool]
"""Whether a number of a checkpoint becomes a metric, by its name and value."""


def drawn_all(name: str, value: float) -> bool:
    """Every number becomes a metric."""
    return True


class MonitorRun:
    """The run of a training, and what it holds of its checkpoints.

    Attributes
    ----------
    run
        Where everything is logged.
    index
        ``modelmap/checkpoints.csv``: a row a checkpoint, with its ``step``, all its numbers,
        ``model``, the saved directory, if any, and ``vector``, a digest of its vector.
    drawn
        Which of the numbers are metrics of the same names too.
    """

    def __init__(
        self,
        run: OpenRun,
        texts: TextSetDataset,
        index: pd.DataFrame,
        before: RunInfo | None = None,
        tags: Mapping[str, Any] | None = None,
        drawn: Drawn = drawn_all,
    ) -> None:
        self.run, self.texts, self.index, self._before = run, texts, index, before
        self.drawn = drawn
        said = {key: value for key, value in (tags or {}).items() if value is not None}
        self._tags = {schema.TAG_TRAJECTORY: run.name, **said}

    @property
    def steps(self) -> list[int]:
        """The steps recorded so far, ascending."""
        return [int(step) for step in self.index["step"]]

    def vectors(self) -> LogLikelihoodMatrix | None:
        """Those recorded so far, in order of step; None where there are none."""
        if self.index.empty:
            return None
        stored = self.run.store.get_run(self.run.run_id)
        return read_matrix(checkpoints_of(stored, self.run.store))[0]

    def add(self, result: ScoreResult, row: Mapping[str, Any]) -> None:
        """Log a checkpoint: its vector, then its row of the index, then the metrics at its step.

        The row has ``step``, ``model`` and numbers by their names, NaN for none.
        Whatever goes wrong in between, a checkpoint that counts has its vector.
        """
        step = int(row["step"])
        path = Path(schema.checkpoint_vectors(step))
        with temporary_folder() as folder:
            texts = self.texts.text_set
            weights, documents = texts.weight_array, texts.document_codes
            digest = vectors_digest(vectors_of(result, weights, documents))
            write_vectors(result, Path(folder) / path.name, weights=weights, documents=documents)
            self.run.store.log_artifact(
                self.run.run_id, f"{folder}/{path.name}", path.parent.as_posix()
            )
        added = pd.DataFrame([{**row, DIGEST: digest}])
        parts = [part.astype({"model": object}) for part in (self.index, added) if len(part)]
        index = pd.concat(parts, ignore_index=True)
        self._write_index(index)
        self.index = index
        self.log_metrics(added, self._model(step, row.get("model")))

    def log_metrics(self, rows: pd.DataFrame, model: OfModel | None = None) -> None:
        """Log what of some rows of the index is drawn, at their steps."""
        stamp, of = get_current_time_millis(), {} if model is None else model._asdict()
        named = rows.select_dtypes("number").columns.drop(["step", "model"], errors="ignore")
        self.run.log_entities(
            [
                Metric(PREFIX + name, float(row[name]), stamp, int(row["step"]), **of)
                for row in rows.to_dict("records")
                for name in named
                if np.isfinite(row[name]) and self.drawn(name, row[name])
            ]
        )

    def _model(self, step: int, folder: object) -> OfModel | None:
        """The LoggedModel that a checkpoint becomes."""
        line, text_set = self._tags[schema.TAG_TRAJECTORY], self.texts.text_set
        tags = {
            **self._tags,
            schema.TAG_MODEL: folder if isinstance(folder, str) else line,
            schema.TAG_STEP: step,
            schema.TAG_TEXT_SET: text_set.digest,
            schema.TAG_TEXT_SET_NAME: text_set.name,
        }
        return model_of(self.run, tags, self.texts, name=f"{line} step {step}", step=step)

    def saved(self, step: int, folder: str) -> None:
        """Note where the weights of a recorded checkpoint were saved."""
        index = self.index.astype({"model": object})
        index.loc[index["step"] == step, "model"] = folder
        self._write_index(index)
        self.index = index

    def _write_index(self, index: pd.DataFrame) -> None:
        self.run.store.log_text(self.run.run_id, index.to_csv(index=False), schema.CHECKPOINT_INDEX)
        self.run.log(tags={schema.TAG_CHECKPOINTS: len(index)})

    def log_settings(self, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Params: what was asked for must be as before, what it came to is as at first."""
        held = self.run.there
        asked = {k: v for k, v in settings.items() if v is not None}
        new = {k: v for k, v in facts.items() if f"modelmap.{k}" not in held and k not in asked}
        self.run.log(params={**new, **asked})

    def say(self, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        self.run.log(tags=tags)

    def say_reference(self, name: str, run_id: str = "") -> None:
        """What checkpoints are compared with, in words, and the run of that if it has one."""
        self.say({schema.TAG_REFERENCE: name, schema.TAG_REFERENCE_RUN: run_id or None})

    def end(self, status: str = "FINISHED", why: str | None = None) -> None:
        """End the run, if it was made (or taken up again) here; else leave it to its owner.

        Parameters
        ----------
        why
            Why the training did not come to its end, in one sentence.
        """
        run = self.run
        with shielded():
            if why is not None:
                with contextlib.suppress(Exception):  # the store may be what failed
                    noted = why if run.owned and not self._noted() else None
                    run.log(tags={schema.TAG_ERROR: why, schema.TAG_NOTE: noted})
            if run.owned:
                end_work(run.run_id)
                end_patiently(run, status)
            else:
                let_go(run.run_id, run.store)

    def give_back(self, error: BaseException) -> None:
        """Leave the run as it was before: it could not be taken up. One that is new fails."""
        before, run = self._before, self.run
        if before is None:
            self.end(*verdict_of(error))
            return
        with shielded(), contextlib.suppress(Exception):
            let_go(run.run_id, run.store)
            if before.status not in _GOING_ON:
                run.store.set_terminated(run.run_id, before.status, before.end_time)

    def _noted(self) -> bool:
        """Whether somebody described the run already."""
        return schema.TAG_NOTE in self.run.store.get_run(self.run.run_id).data.tags


def open_monitor_run(
    store: MlflowClient,
    texts: TextSetDataset,
    *,
    run_id: str | None = None,
    name: str | None = None,
    experiment: str | None = None,
    start_run: bool = True,
    tags: Mapping[str, Any] | None = None,
    drawn: Drawn = drawn_all,
) -> MonitorRun:
    """The run to record a training in.

    In this order: the run with `run_id`; `mlflow.active_run()`; the run that `mlflow run` made for
    this process; a new one. A run that was made here, or that had ended and is taken up again, is
    ended by `MonitorRun.end`; any other by whoever opened it.

    Raises
    ------
    InputError
        If there is no such run, it holds something else or other texts, or none is active and
        none may be made.
    TrackingError
        If what it holds already is damaged.
    """
    active = mlflow.active_run()
    chosen = run_id or (active.info.run_id if active is not None else inherited_run_id())
    if chosen:
        there = find_run(chosen, store)
        _check_fits(there, texts.text_set)
        index = read_index(there, store)  # what is damaged is left as it is
        held, before = kind_of(there), there.info
        run = _take_up(there, store, is_active=active is not None and active.info.run_id == chosen)
    elif start_run:
        where = experiment_id(experiment, store)
        tags_of_process = {**resolve_tags(), **process_tags()}
        made = store.create_run(where, tags=tags_of_process, run_name=name and run_name(name))
        run = OpenRun(store, made.info.run_id, where, made.info.run_name or "", owned=True)
        index, held, before = None, None, None
    else:
        raise InputError(
            "No MLflow run is active and none is to be made; start one with mlflow.start_run(), "
            "or leave start_run as it is."
        )
    empty = pd.DataFrame(columns=["step", "model"])
    monitor = MonitorRun(run, texts, empty, before, tags, drawn)
    begin_work(run.run_id, store)
    try:
        if held is None:
            _introduce(run, texts, tags or {})
        if index is not None:
            monitor.index = index
            _log_what_is_missing(monitor)
    except BaseException as error:
        monitor.give_back(error)
        raise
    return monitor


def _take_up(there: Run, store: MlflowClient, *, is_active: bool) -> OpenRun:
    """Go on in a run; one that had ended, or whose process was killed, is ours to end."""
    info = there.info
    ended = info.status not in _GOING_ON
    owned = ended or (left_over(there) is not None and not is_active)
    run = OpenRun(
        store,
        info.run_id,
        info.experiment_id,
        info.run_name or "",
        owned,
        dict(there.data.params),
    )
    run.log(tags=process_tags(began_before=True))
    if schema.TAG_ERROR in there.data.tags and kind_of(there) == schema.KIND_MONITOR:
        store.delete_tag(info.run_id, schema.TAG_ERROR)  # it goes on
    if ended:
        store.update_run(info.run_id, status="RUNNING")
    return run


def _check_fits(there: Run, texts: TextSet) -> None:
    """Refuse a run that is deleted, or holds something else than this training on these texts."""
    info, tags, held = there.info, there.data.tags, kind_of(there)
    check_not_deleted(there)
    if held not in (None, schema.KIND_MONITOR):
        raise InputError(
            f"Run {info.run_id} already holds a {held} of mlflow-modelmap; record the training in "
            "a run of its own."
        )
    if held:
        check_readable(there, (schema.KIND_MONITOR,), finished=False)
    before = tags.get(schema.TAG_TEXT_SET), tags.get(schema.TAG_TEXT_WEIGHTS)
    if held and before != (texts.digest, texts.weights_digest):
        named = tags.get(schema.TAG_TEXT_SET_NAME) or "unnamed"
        differ = "weights" if before[0] == texts.digest else "text set"
        raise InputError(
            f"Run {info.run_id} was recorded on the text set {named} ({(before[0] or '')[:12]}), "
            f"and {texts.name} ({texts.digest[:12]}) has another {differ}; go on with the same, or "
            "record in a new run."
        )


def _introduce(run: OpenRun, texts: TextSetDataset, tags: Mapping[str, Any]) -> None:
    """Make a run one of ours: its kind, its text set as tags and as a dataset."""
    text_set = texts.text_set
    run.log(
        tags={
            schema.TAG_SCHEMA: schema.SCHEMA_VERSION,
            schema.TAG_KIND: schema.KIND_MONITOR,
            schema.TAG_TEXT_SET: text_set.digest,
            schema.TAG_TEXT_SET_NAME: text_set.name,
            schema.TAG_TEXT_WEIGHTS: text_set.weights_digest,
            schema.TAG_TRAJECTORY: run.name,
            **{key: value for key, value in tags.items() if value is not None},
        }
    )
    run.log_texts(texts)


def _log_what_is_missing(monitor: MonitorRun) -> None:
    """Log the metrics of checkpoints that were listed when the process before was stopped."""
    run = monitor.run
    there = {m.step for m in run.store.get_metric_history(run.run_id, schema.METRIC_BITS_PER_BYTE)}
    monitor.log_metrics(monitor.index[~monitor.index["step"].isin(there)])
