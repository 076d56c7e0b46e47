"""Tracking: is this scored already? Finished score runs by identity."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.looks_whole import looks_whole
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.search import of_kind, points_in, search_runs, search_scores


def scores_with(
    identities: Collection[str],
    experiment_ids: Collection[str],
    store: MlflowClient,
    *,
    texts: int | None = None,
) -> list[Point]:
    """The readable score runs of experiments with one of these identities, the latest first.

    Several are the same score by the rules of this version and of earlier ones. Anyone may have
    written such a run: what else it says of itself is still to be asked.
    """
    runs = attempts(identities, experiment_ids, store)
    return scores_among(runs, texts=texts)


def attempts(
    identities: Collection[str], experiment_ids: Collection[str], store: MlflowClient
) -> list[Run]:
    """All score runs of experiments with one of these identities, whatever became of them."""
    # MLflow's filters know no OR, and no IN for tags.
    return [
        run
        for identity in identities
        for run in search_runs(
            list(experiment_ids),
            of_kind(schema.KIND_SCORE, f"tags.`{schema.TAG_IDENTITY}` = '{identity}'"),
            store,
        )
    ]


def scores_among(runs: Iterable[Run], *, texts: int | None = None) -> list[Point]:
    """Those of the runs that hold a score (of so many texts), the latest first."""
    whole = (point for point in points_in(runs) if looks_whole(point, texts))
    return sorted(whole, key=_age, reverse=True)


def scored(
    experiment_id: str, store: MlflowClient, *, text_digest: str, texts: int | None = None
) -> dict[str, list[Point]]:
    """The readable score runs of an experiment on one text set by identity, the latest first."""
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{text_digest}'"
    found: dict[str, list[Point]] = {}
    for run in sorted(search_scores([experiment_id], on_these, store), key=_age, reverse=True):
        if run.identity and looks_whole(run, texts):
            found.setdefault(run.identity, []).append(run)
    return found


def _age(run: Point) -> tuple[int, str]:
    return run.start_time, run.run_id
