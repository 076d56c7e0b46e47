"""Tracking: all runs that an MLflow filter finds in experiments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point, point_of
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.store.failures import failed, is_malformed
from mlflow_modelmap.tracking.store.paging import RUNS_A_PAGE, every
from mlflow_modelmap.words.reason import reason


def search_runs(experiment_ids: Sequence[str], filter: str, store: MlflowClient) -> list[Run]:
    """Active runs of experiments, latest first.

    Raises
    ------
    InputError
        If the filter is malformed.
    TrackingError
        If the store cannot answer.
    """
    try:
        return every(
            lambda most, token: store.search_runs(
                list(experiment_ids), filter, max_results=most, page_token=token
            ),
            RUNS_A_PAGE,
        )
    except MlflowException as error:
        if not is_malformed(error):
            raise failed("Runs cannot be read", store.tracking_uri, error) from error
        raise InputError(
            f"MLflow cannot search with the filter {filter!r}: {reason(error)}"
        ) from error


def of_kind(kind: str, filter: str | None = None) -> str:
    """A filter for runs of one of our kinds; MLflow's filters know no OR."""
    ours = f"tags.`{schema.TAG_KIND}` = '{kind}'"
    return f"{ours} AND {filter}" if filter else ours


def search_scores(
    experiment_ids: Sequence[str], filter: str | None, store: MlflowClient
) -> list[Point]:
    """The readable score runs that a filter finds, in no particular order, names as they are.

    One whose tags make no point is no score that anyone could find again.
    """
    done = of_kind(schema.KIND_SCORE, "attributes.status = 'FINISHED'")
    return points_in(search_runs(experiment_ids, f"{done} AND {filter}" if filter else done, store))


def points_in(runs: Iterable[Run]) -> list[Point]:
    """The points that readable runs are; those whose tags make none are left out."""
    found = []
    for run in runs:
        if is_readable(run):
            with contextlib.suppress(TrackingError):
                found.append(point_of(run))
    return found
