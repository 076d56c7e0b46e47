"""Tracking: is this scored already? Finished score runs by identity."""

from __future__ import annotations

from collections.abc import Collection

from mlflow import MlflowClient

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.search import search_scores


def scores_with(
    identities: Collection[str], experiment_ids: Collection[str], store: MlflowClient
) -> list[Point]:
    """The readable score runs of experiments with one of these identities, the latest first.

    Several are the same score by the rules of this version and of earlier ones. Anyone may have
    written such a run: what else it says of itself is still to be asked.
    """
    # MLflow's filters know no OR, and no IN for tags.
    runs = [
        run
        for identity in identities
        for run in search_scores(
            list(experiment_ids), f"tags.`{schema.TAG_IDENTITY}` = '{identity}'", store
        )
        if _has_vectors(run)
    ]
    return sorted(runs, key=_age, reverse=True)


def scored(experiment_id: str, store: MlflowClient, *, text_digest: str) -> dict[str, list[Point]]:
    """The readable score runs of an experiment on one text set by identity, the latest first."""
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{text_digest}'"
    found: dict[str, list[Point]] = {}
    for run in sorted(search_scores([experiment_id], on_these, store), key=_age, reverse=True):
        if run.identity and _has_vectors(run):
            found.setdefault(run.identity, []).append(run)
    return found


def _age(run: Point) -> tuple[int, str]:
    return run.start_time, run.run_id


def _has_vectors(run: Point) -> bool:
    """Whether the artifact is there, as far as can be told without a request."""
    root = local_path(run.artifact_uri)
    return root is None or (root / schema.LOG_LIKELIHOODS).is_file()
