"""Driver: the models of a lineage that have no score - named, or scored now."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.members import Family, Member
from mlflow_modelmap.drivers.score.resolve import resolve_model
from mlflow_modelmap.environment import changed_environment
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.scoring.model.config import brings_own_code
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
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
    hub: bool,
    text_set: TextSet | None,
    experiment: str | None,
    settings: Mapping[str, Any],
    progress: bool,
    notices: list[str],
    store: MlflowClient,
) -> None:
    """Score the members that are not, or name them.

    Code that a model brings is run, if `settings` say so, for those that the user asked for; never
    for a parent that only a tag, a card or a link names. Such a parent is not fetched from the Hub
    either where that is not to be asked.

    Raises
    ------
    InputError
        If they are to be scored and nobody said on which texts.
    """
    missing = [name for name, member in family.members.items() if member.run is None]
    if not hub:
        on_hub = [name for name in missing if _on_hub(family.members[name])]
        missing = [name for name in missing if name not in on_hub]
        if on_hub:
            notices.append(
                f"Of the parents that are named, {listed(on_hub, _NAMED)} would be on the Hub, "
                "which was not asked; score them by name, or leave out --no-hub."
            )
    if not missing:
        return
    named = listed(missing, _NAMED)
    if not score:
        notices.append(f"{_are_not(missing)} scored: {named}.")
        return
    if text_set is None:
        raise InputError(
            f"{_are_not(missing)} scored yet ({named}); say on which texts to score, or leave out "
            "what is not with --no-score."
        )

    def score_one(member: Member) -> Point:
        from mlflow_modelmap.drivers.score.score import score as score_model

        how = {**settings, "trust_remote_code": False} if member.only_claimed else settings
        made = score_model(
            member.reference,
            text_set,
            name=member.version.label if member.version else None,
            experiment=experiment,
            progress=progress,
            **how,
        )
        return select_runs(run_ids=[made.run_id], store=store)[0]

    def refused(member: Member) -> str | None:
        """What to type for a parent whose own code is not run because somebody else named it."""
        if not member.only_claimed or not _brings_own_code(member.reference):
            return None
        where = ["--experiment", experiment] if experiment else []
        typed = shlex.join(
            [
                *("modelmap", "score", "--trust-remote-code", "--texts"),
                *(text_set.source or text_set.name, *where, "--", member.reference),
            ]
        )
        return (
            f"The parent {member.name!r} brings its own code, which is not run because a tag, card "
            f"or link named it and not you; read it, then type `{typed}` and name the run that is "
            "made with --run-id."
        )

    _score_each(family, missing, score_one, refused, notices)


def _are_not(missing: Sequence[str]) -> str:
    return "1 model is not" if len(missing) == 1 else f"{len(missing)} models are not"


def _on_hub(member: Member) -> bool:
    """Whether a model that somebody else named would have to be fetched."""
    return member.only_claimed and ModelReference.parse(member.reference).kind == HUB


def _brings_own_code(reference: str) -> bool:
    """Whether the files of a model that could not be scored name code of their own."""
    try:
        files = resolve_model(ModelReference.parse(reference))
    except ModelMapError:
        return False
    return brings_own_code(files.model_path) or brings_own_code(files.tokenizer_path)


def _score_each(
    family: Family,
    names: Iterable[str],
    score: Callable[[Member], Point],
    refused: Callable[[Member], str | None],
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
                run = score(member)
        except Exception as error:
            if isinstance(error, TrackingError):
                check_reachable()  # a store that is gone ends the work
            told = reason if isinstance(error, ModelMapError) else reason_with_type
            notices.append(refused(member) or f"{name!r} could not be scored: {told(error)}.")
            continue
        family.members[name] = replace(member, run=run)
