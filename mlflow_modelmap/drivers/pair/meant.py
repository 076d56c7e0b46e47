"""Driver: what a reference means - a score that is there or a model - before any is scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow import MlflowClient

from mlflow_modelmap.drivers.pair.named_score import (
    alike,
    by_run_id,
    is_run_id,
    matching,
    only_one,
    runs_to_name,
)
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference, is_here
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import fixed_version
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.store.experiments import experiment_name, find_experiments
from mlflow_modelmap.words.listed import listed


@dataclass(frozen=True)
class Trusted:
    """The experiments whose scores are believed for what their tags say, the own one first.

    Attributes
    ----------
    ids, names
        In the same order.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, own: str, others: Sequence[str], store: MlflowClient) -> Trusted:
        """The own experiment, by its id, and those that somebody names.

        Raises
        ------
        InputError
            If one of them is not there.
        """
        found = {own: experiment_name(own, store)}
        if others:
            found |= {e.experiment_id: e.name for e in find_experiments(tuple(others), store)}
        return cls(tuple(found), tuple(found.values()))


@dataclass(frozen=True, eq=False)
class Meant:
    """What somebody wrote, resolved once: a score that is there, or else a model.

    Attributes
    ----------
    requested
        As it was written.
    role
        What it is called in an error.
    resolved
        The run (``RUN_ID@STEP`` for a checkpoint of a monitored training, ``RUN_ID@NAME`` for an
        imported point), or the model: ``models:/name/version``,
        ``org/name@commit``, a directory by its real path.
    named
        The score that was named; nobody asked what made it.
    prepared
        The model, its files at hand.
    """

    requested: str
    role: str
    resolved: str
    named: Point | None = None
    prepared: Prepared | None = None


def meant(
    written: str | os.PathLike[str],
    texts: TextSet,
    *,
    settings: ScoringSettings,
    trusted: Trusted,
    again: bool,
    store: MlflowClient,
    role: str,
) -> Meant:
    """Find out what is meant, an alias as the version that it stands for now.

    A run id means its run. A name means a score in `trusted`, by the run's name or the model's;
    elsewhere only the run's own name counts, for anybody can write any model into a tag. What
    reads as a model of the Hub is that model, unless a run in `trusted` is called so.

    Parameters
    ----------
    again
        Whether a model is meant, whatever scores there are.

    Raises
    ------
    InputError
        If it is none of these, or stands for several.
    ScoringError, TrackingError
        If the model or the store cannot be reached.
    """
    requested = os.fspath(written)
    if not requested.strip():
        raise InputError(f"No {role} was given; name a run, a scored point or a model.")
    if is_run_id(requested):
        return _named(requested, by_run_id(requested, store), role, again)
    if requested.startswith(("models:/", "runs:/")) or is_here(requested):
        model: ModelReference | None = ModelReference.parse(requested)
    else:
        model = _hub_model(requested)
        if model is None or not again:
            point = _score_called(requested, texts, trusted, store, hub=model is not None)
            if point is not None:
                return _named(requested, point, role, again)
    if model is None:
        raise _nothing(requested, texts, trusted, store, role)
    fixed = fixed_version(model)
    prepared = prepare(ScoreRequest(reference=fixed, settings=settings), texts)
    at = f"{fixed.name}@{prepared.files.commit}" if fixed.kind == HUB else str(fixed)
    return Meant(requested, role, at, prepared=prepared)


def _named(requested: str, point: Point, role: str, again: bool) -> Meant:
    if again:
        raise InputError(
            f"The {role} {requested!r} names a score that is there, run {point.run_id}, which "
            "cannot be made again; name its model, or leave --again out."
        )
    of_many = point.name if point.imported else point.step
    at = f"{point.run_id}@{of_many}" if point.one_of_many else point.run_id
    return Meant(requested, role, at, named=point)


def _hub_model(written: str) -> ModelReference | None:
    """The Hub model that a reference may mean; only org/name is taken for one."""
    if "/" not in written:
        return None
    try:
        parsed = ModelReference.parse(written)
    except InputError:
        return None
    return parsed if parsed.kind == HUB else None


def _score_called(
    reference: str, texts: TextSet, trusted: Trusted, store: MlflowClient, *, hub: bool
) -> Point | None:
    """The score on these texts of that name: in the own experiment, in one trusted, anywhere."""
    own, *others = trusted.names
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{texts.digest}'"
    places = [((own,), not hub), *([(tuple(others), not hub)] if others else [])]
    for experiments, models in places if hub else [*places, ((), False)]:
        found = matching(reference, _runs(reference, experiments, store, on_these), models=models)
        if found:
            return only_one(reference, found)
    return None


def _runs(
    reference: str, experiments: tuple[str, ...], store: MlflowClient, filter: str | None = None
) -> list[Point]:
    try:
        return runs_to_name([reference], experiments, store, filter)
    except InputError:
        return []


def _nothing(
    reference: str, texts: TextSet, trusted: Trusted, store: MlflowClient, role: str
) -> InputError:
    """Why a name leads to no score on these texts."""
    everything = _runs(reference, (), store)
    on_these = [run for run in everything if run.text_set == texts.digest]
    believed_elsewhere = matching(reference, on_these)
    if believed_elsewhere:
        run = believed_elsewhere[0]
        where = experiment_name(run.experiment_id, store)
        return InputError(
            f"The {role} {reference!r} is said to be scored by run {run.run_id} of the experiment "
            f"{where!r}, which is neither {trusted.names[0]!r} nor trusted; trust it "
            f"(--trust-experiment {where!r}), name the run by its id, or name the model as "
            "org/name, a directory or models:/name/version."
        )
    elsewhere = matching(reference, everything)
    if elsewhere:
        return other_texts(reference, elsewhere[0], texts, role)
    like = alike(reference, on_these)
    there = f"such as {listed(like)}" if like else "of which there are none on these texts yet"
    return InputError(
        f"The {role} {reference!r} is neither a run, a model, nor the name of a finished score; "
        f"write org/name, a directory, models:/name@alias, a run id or the name of a score, "
        f"{there}."
    )


def other_texts(reference: str, run: Point, texts: TextSet, role: str) -> InputError:
    """The error for a score on other texts; it names both text sets."""
    name = f" ({run.name!r})" if run.name != reference else ""
    return InputError(
        f"The {role} {reference!r}{name} was scored on the text set "
        f"{run.text_set_name or 'unnamed'} ({run.text_set[:12] or 'no digest'}), not on "
        f"{texts.name} ({texts.digest[:12]}); score it on {texts.name}, or name its model, which "
        "is then scored here."
    )
