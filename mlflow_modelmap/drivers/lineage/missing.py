"""Driver: the models of a lineage that have no score - named, or scored now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.members import Family
from mlflow_modelmap.environment import changed_environment
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason, reason_with_type

_NAMED = 10
"""So many models without a score are named."""


def complete(
    family: Family,
    score: bool,
    text_set: TextSet | None,
    experiment: str | None,
    settings: Mapping[str, Any],
    progress: bool,
    notices: list[str],
    store: MlflowClient,
) -> None:
    """Score the members that are not, or name them.

    Raises
    ------
    InputError
        If they are to be scored and nobody said on which texts.
    """
    missing = [name for name, member in family.members.items() if member.run is None]
    if not missing:
        return
    named = listed(missing, _NAMED)
    if not score:
        notices.append(f"{len(missing)} models are not scored: {named}.")
        return
    if text_set is None:
        raise InputError(
            f"{len(missing)} models are not scored yet ({named}); say on which texts to score "
            "them, or leave them out with --no-score."
        )

    def score_one(reference: str, label: str | None) -> Point:
        from mlflow_modelmap.drivers.score.score import score as score_model

        made = score_model(
            reference, text_set, name=label, experiment=experiment, progress=progress, **settings
        )
        return select_runs(run_ids=[made.run_id], store=store)[0]

    _score_each(family, missing, score_one, notices)


def _score_each(
    family: Family,
    names: Iterable[str],
    score: Callable[[str, str | None], Point],
    notices: list[str],
) -> None:
    """Score members; one that fails is said and stays unmeasured."""
    for name in names:
        member = family.members[name]
        if member.version is not None and not member.version.source:
            notices.append(
                f"The registered version {name!r} has no source, so it cannot be scored; register "
                "it with one."
            )
            continue
        try:
            # Scores make runs of their own; the one that `mlflow run` made is for the lineage.
            with changed_environment({"MLFLOW_RUN_ID": None}):
                run = score(member.reference, member.version.label if member.version else None)
        except Exception as error:
            if isinstance(error, TrackingError):
                check_reachable()  # a store that is gone ends the work
            told = reason if isinstance(error, ModelMapError) else reason_with_type
            notices.append(f"{name!r} could not be scored: {told(error)}.")
            continue
        family.members[name] = replace(member, run=run)
