"""Driver: which runs and experiments the server page opens, and what it says above each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import label
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs import damaged
from mlflow_modelmap.tracking.runs.point import finite, started
from mlflow_modelmap.tracking.runs.readable_or_refused import check_not_deleted, check_readable
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.runs.study_run import notices_of
from mlflow_modelmap.tracking.runs.unit_of_texts import unit_in
from mlflow_modelmap.tracking.store.server_store import ServerStore
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.texts_or_responses import TEXTS

KINDS = {
    schema.KIND_MAP: "Maps",
    schema.KIND_TRAJECTORY: "Training",
    schema.KIND_MONITOR: "Monitored trainings",
    schema.KIND_SCALE: "Scale",
    schema.KIND_LINEAGE: "Lineage",
    schema.KIND_GATE: "Gates",
    schema.KIND_QUANTIZATION: "Quantised copies",
    schema.KIND_LAYERS: "Layers",
    schema.KIND_PROMPTS: "Prompts",
    schema.KIND_EXACT: "Exact comparisons",
}
"""The kinds of run that the page lists, in the order of its lists."""
OPENED = (*KINDS, schema.KIND_SCORE, schema.KIND_VECTORS)
"""Those that it opens: of scores there are too many for a list, and points lead to them."""

MOST_NOTICES = 1_000
"""Notices above a run; a study has a handful."""
_NOTICE = 2_000
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
_EXPERIMENT_ID = re.compile(r"[0-9]{1,19}")


class Opened(NamedTuple):
    """A run that may be shown, and the experiment it lies in."""

    run: Run
    experiment: Experiment


def find_experiment(store: ServerStore, experiment_id: str) -> Experiment:
    """An active experiment that may be read.

    Raises
    ------
    InputError
        If its id is none, it is not there, was deleted or may not be read.
    """
    if not _EXPERIMENT_ID.fullmatch(experiment_id):
        raise InputError(
            f"{experiment_id[:60]!r} is no experiment id, which is a number; open the list of "
            "experiments."
        )
    found = store.find_experiment(experiment_id)
    if found is None:
        raise InputError(
            f"There is no experiment {experiment_id} here that you may read; open the list of "
            "experiments."
        )
    if found.lifecycle_stage != "active":
        raise InputError(
            f"The experiment {experiment_id} was deleted; `mlflow experiments restore -x "
            f"{experiment_id}` brings it back."
        )
    return found


def open_run(store: ServerStore, run_id: str, kinds: Sequence[str] = OPENED) -> Opened:
    """A run of mlflow-modelmap that may be shown.

    Raises
    ------
    InputError
        If its id is none, it is not there or may not be read, was deleted, is not finished, is of
        another kind, or written by a newer version.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"{run_id[:60]!r} is no run id, which is 32 letters and digits; copy one from the "
            "MLflow UI."
        )
    run = store.find_run(run_id)
    if run is None:
        raise InputError(
            f"There is no run {run_id} here that you may read; open the list of experiments."
        )
    check_not_deleted(run)
    experiment = find_experiment(store, run.info.experiment_id)
    try:
        check_readable(run, kinds)
    except InputError as error:  # it quotes tags, which anybody can write
        raise InputError(shortened(one_line(error), _NOTICE)) from error
    return Opened(run, experiment)


@contextlib.contextmanager
def whole(run: Run) -> Iterator[None]:
    """Say that a run is damaged, where what its artifacts hold does not fit together.

    Raises
    ------
    TrackingError
    """
    with damaged.whole(run.info.run_id):
        yield


def key(run: Run, what: str) -> tuple[str, int, str]:
    """What a finished run's part is kept under; a run that was opened again ends anew."""
    return run.info.run_id, run.info.end_time or 0, what


def head(store: ServerStore, opened: Opened, cache: PageCache | None = None) -> dict[str, Any]:
    """What every run's page says above: names, kind, state, text set and notices."""
    run, experiment = opened
    tags = run.data.tags
    if cache is not None and run.info.end_time:
        said = cache.get(key(run, "unit"), lambda: unit(store, run))
    else:  # it goes on, and may have no score yet that says it
        said = unit(store, run)
    return {
        "run_id": run.info.run_id,
        "name": label(run.info.run_name or run.info.run_id),
        "kind": tags[schema.TAG_KIND],
        "status": run.info.status,
        "start_time": started(run) or None,
        "experiment": {"id": experiment.experiment_id, "name": label(experiment.name)},
        "text_set": label(tags.get(schema.TAG_TEXT_SET) or "") or None,
        "text_set_name": label(tags.get(schema.TAG_TEXT_SET_NAME) or "") or None,
        "texts": finite(run.data.metrics.get("modelmap/texts")),
        "unit": said,
        "notices": _notices(store, run),
    }


def unit(store: ServerStore, run: Run) -> str:
    """What the texts of a run are called: those of a study by the scores beside it."""
    said = unit_in(run)
    digest = run.data.tags.get(schema.TAG_TEXT_SET) or ""
    if said is None and digest.isalnum():
        scores = of_kind(schema.KIND_SCORE, f"tags.`{schema.TAG_TEXT_SET}` = '{digest}'")
        beside = store.search([run.info.experiment_id], scores, most=1)
        said = next(filter(None, map(unit_in, beside)), None)
    return said or TEXTS


def _notices(store: ServerStore, run: Run) -> list[str]:
    try:
        said = notices_of(store.get_run(run.info.run_id), cast(MlflowClient, store))
    except TrackingError as error:  # the rest of the run may be whole
        said = (str(error),)
    told = [shortened(one_line(notice), _NOTICE) for notice in said[:MOST_NOTICES]]
    if len(said) > MOST_NOTICES:
        told.append(f"There are {len(said) - MOST_NOTICES:,} more notices in the run's parameters.")
    return told


def units_of_run(metrics: Mapping[str, float]) -> float | None:
    """How many documents, else texts, a study is of, where its metrics say it."""
    found = (finite(metrics.get(f"modelmap/{name}")) for name in ("documents", "texts"))
    return next((count for count in found if count), None)
