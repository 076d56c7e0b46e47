"""Tracking: is this scored already? Finished score runs by identity."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import PARAM_PREFIX
from mlflow_modelmap.tracking.runs.looks_whole import looks_whole
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import kind_of
from mlflow_modelmap.tracking.runs.search import points_in, search_runs, search_scores
from mlflow_modelmap.tracking.store.failures import failed
from mlflow_modelmap.tracking.store.in_filter import in_filter


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
    # MLflow's filters know no OR, and no IN for tags; each condition reads all tags of its name, so
    # that the kind is looked at here.
    return [
        run
        for identity in identities
        for run in search_runs(
            list(experiment_ids), f"tags.`{schema.TAG_IDENTITY}` = '{identity}'", store
        )
        if kind_of(run) == schema.KIND_SCORE
    ]


def holds_scores_of_0_1_0(experiment_id: str, store: MlflowClient) -> bool:
    """Whether an experiment holds scores that version 0.1.0 made."""
    made = f"params.`{PARAM_PREFIX}mlflow_modelmap` LIKE '0.1.%'"
    try:
        return bool(store.search_runs([experiment_id], made, max_results=1))
    except MlflowException as error:
        raise failed("Runs cannot be read", store.tracking_uri, error) from error


def scores_among(runs: Iterable[Run], *, texts: int | None = None) -> list[Point]:
    """Those of the runs that hold a score (of so many texts), the latest first."""
    whole = (point for point in points_in(runs) if looks_whole(point, texts))
    return sorted(whole, key=_age, reverse=True)


def scored(
    experiment_id: str,
    store: MlflowClient,
    *,
    text_digest: str,
    texts: int | None = None,
    models: Collection[str] | None = None,
) -> dict[str, list[Point]]:
    """The readable score runs of an experiment on one text set by identity, the latest first.

    Parameters
    ----------
    texts
        So many texts a score must cover.
    models
        Only of these models, as their runs name them; a question to the store for each.
    """
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{text_digest}'"
    filters = [on_these]
    quoted = [in_filter(model) for model in sorted(set(models or ()))]
    if models is not None and None not in quoted:
        filters = [f"{on_these} AND tags.`{schema.TAG_MODEL}` = {model}" for model in quoted]
    there = [run for asked in filters for run in search_scores([experiment_id], asked, store)]
    found: dict[str, list[Point]] = {}
    for run in sorted(there, key=_age, reverse=True):
        if run.identity and looks_whole(run, texts):
            found.setdefault(run.identity, []).append(run)
    return found


def _age(run: Point) -> tuple[int, str]:
    return run.start_time, run.run_id
