"""Tracking: is this scored already? Finished score runs by identity."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mlflow import MlflowClient

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.search import search_scores
from mlflow_modelmap.tracking.store.experiments import find_experiments


def find_scored(
    identities: Collection[str], experiment_id: str, store: MlflowClient
) -> Point | None:
    """The latest readable run of an experiment with one of these identities, or None.

    Several are the same score by the rules of this version and of earlier ones.
    """
    return max(_with(identities, [experiment_id], store), key=_age, default=None)


def find_scored_anywhere(
    identities: Collection[str], first: Iterable[str], store: MlflowClient
) -> Point | None:
    """As `find_scored`, in all experiments; a run in those named `first` is preferred."""
    every = [experiment.experiment_id for experiment in find_experiments((), store)]
    preferred = set(first)
    return max(
        _with(identities, every, store),
        key=lambda run: (run.experiment_id in preferred, *_age(run)),
        default=None,
    )


def scored(experiment_id: str, store: MlflowClient, *, text_digest: str) -> dict[str, Point]:
    """The readable score runs of an experiment on one text set by identity, the latest of each."""
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{text_digest}'"
    runs = sorted(search_scores([experiment_id], on_these, store), key=_age)
    return {run.identity: run for run in runs if run.identity and _has_vectors(run)}


def _with(
    identities: Collection[str], experiment_ids: Collection[str], store: MlflowClient
) -> list[Point]:
    # MLflow's filters know no OR, and no IN for tags.
    return [
        run
        for identity in identities
        for run in search_scores(
            list(experiment_ids), f"tags.`{schema.TAG_IDENTITY}` = '{identity}'", store
        )
        if _has_vectors(run)
    ]


def _age(run: Point) -> tuple[int, str]:
    return run.start_time, run.run_id


def _has_vectors(run: Point) -> bool:
    """Whether the artifact is there, as far as can be told without a request."""
    root = local_path(run.artifact_uri)
    return root is None or (root / schema.LOG_LIKELIHOODS).is_file()
