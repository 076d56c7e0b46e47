"""Driver: the user's own scale on the same texts, where one is at hand, so that words go by it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup, own_groups
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.search import of_kind, search_runs
from mlflow_modelmap.tracking.runs.study_run import load_study

_DIGEST = re.compile(r"[0-9a-f]{1,64}")


def scale_at_hand(
    text_set: str, weights: str | None, experiment_ids: Sequence[str], store: MlflowClient
) -> tuple[OwnGroup, ...]:
    """The groups of the newest scale run on these texts in some experiments; none without one.

    Parameters
    ----------
    text_set, weights
        Digests of the texts, and of their weights if they have any.
    experiment_ids
        Where it may lie; the store is asked once.
    """
    wanted = scales_on(text_set)
    if wanted is None or not experiment_ids:
        return ()
    with contextlib.suppress(TrackingError, InputError):
        found = search_runs(experiment_ids, wanted, store)
        return newest_scale(found, weights, lambda run: scale_table(run, store))
    return ()


def scales_on(text_set: str) -> str | None:
    """The filter that finds finished scale runs on a text set; None for what is no digest."""
    if not _DIGEST.fullmatch(text_set):
        return None
    done = f"attributes.status = 'FINISHED' AND tags.`{schema.TAG_TEXT_SET}` = '{text_set}'"
    return of_kind(schema.KIND_SCALE, done)


def newest_scale(
    runs: Iterable[Run], weights: str | None, read: Callable[[Run], pd.DataFrame]
) -> tuple[OwnGroup, ...]:
    """The groups of the first readable of these runs, latest first, under the same weights.

    Those of other vectors than log-likelihoods say nothing of KL divergences.
    """
    for run in runs:
        if schema.PARAM_VECTOR_KIND in run.data.params:
            continue
        if is_readable(run) and run.data.tags.get(schema.TAG_TEXT_WEIGHTS) == weights:
            with contextlib.suppress(TrackingError, InputError):
                return own_groups(read(run))
    return ()


def scale_table(run: Run, store: MlflowClient) -> pd.DataFrame:
    """``scale.parquet`` of a run.

    Raises
    ------
    TrackingError
        If it is missing or damaged.
    """
    read = load_study(run.info.run_id, schema.KIND_SCALE, tables=("scale",), store=store)
    return read.tables["scale"]
