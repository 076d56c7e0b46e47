"""Driver: the score of a reference on a text set - found by any name it has, or made now."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.pair.named_score import (
    alike,
    by_run_id,
    is_run_id,
    matching,
    only_one,
    runs_to_name,
)
from mlflow_modelmap.drivers.score.found import says_the_same
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.score import score_prepared
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.scoring.load.precision import QUANTISED
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import fixed_version
from mlflow_modelmap.tracking.runs.find_score import scores_anywhere
from mlflow_modelmap.tracking.runs.open_run import target_experiment
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import DamagedRun, read_matrix
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed


@dataclass(frozen=True, eq=False)
class ReferenceScore:
    """The log-likelihood vector of a model on a text set, and the run that holds it.

    Attributes
    ----------
    name, run_id, experiment_id
        Of the run; the name tells a checkpoint of a monitored training from its others.
    log_likelihoods
        Nats, float64, shape (N,).
    bytes
        UTF-8 bytes of what was scored of each text, int64, shape (N,).
    bits_per_byte
        Under the text set's weights.
    step
        Training step, or None.
    scored_now
        Whether the score was made for this question, rather than found.
    model, revision, precision
        What was scored, as far as the run says.
    weights
        The text set's weights, shape (N,), or None.
    """

    name: str
    run_id: str
    experiment_id: str
    log_likelihoods: np.ndarray
    bytes: np.ndarray
    bits_per_byte: float
    step: int | None = None
    scored_now: bool = False
    model: str | None = None
    revision: str | None = None
    precision: str | None = None
    weights: np.ndarray | None = None


def reference_score(
    reference: str | os.PathLike[str],
    texts: TextSet,
    *,
    settings: ScoringSettings | None = None,
    experiment: str | None = None,
    store: MlflowClient | None = None,
    progress: bool = False,
    role: str = "reference",
) -> ReferenceScore:
    """The score of a reference on a text set.

    Parameters
    ----------
    reference
        A run id, ``RUN_ID@STEP`` (a checkpoint of a monitored training; without the step its last
        one), the name of a score run or point on these texts, or a model: ``org/name``,
        ``org/name@revision``, a directory, ``models:/name/1``, ``models:/name@alias``,
        ``runs:/RUN_ID/path``. A name that a run has wins over a model of the Hub.
    texts
        The texts on which something is to be compared with it.
    settings
        How a model is scored that is not scored yet.
    experiment
        Where names are looked up first, and where a score goes that is made now; by default the
        experiment of the active run, else the current one. A score of the same model under the
        same settings is found in any experiment.
    progress
        Whether a progress bar is shown on stderr.
    role
        What it is called in an error.

    Returns
    -------
    ReferenceScore

    Raises
    ------
    InputError
        If there is nothing of that name, it stands for several scores, or it was scored on another
        text set or is not finished.
    ScoringError, TrackingError
        If scoring fails, or the store cannot be asked.

    Notes
    -----
    A score that is made now is a run of its own without a parent, even while a run is active: it
    belongs to the reference, not to the training or evaluation that asks, and the next one finds
    it. An alias is resolved first, so that the run names the version that was scored.
    """
    written = os.fspath(reference)
    if not written.strip():
        raise InputError(f"No {role} was given; name a run, a scored point or a model.")
    with quiet():
        store = store or check_reachable()
        if is_run_id(written):
            return _found(written, by_run_id(written, store), texts, role)
        if written.startswith(("models:/", "runs:/")) or os.path.isdir(os.path.expanduser(written)):
            model: ModelReference | None = ModelReference.parse(written)
        else:
            model = _hub_model(written)
            named = _named(written, texts, experiment, store, models=model is None)
            if named is not None:
                return _found(written, named, texts, role)
        if model is None:
            raise _nothing(written, texts, store, role)
        return _of_model(
            fixed_version(model),
            texts,
            settings or ScoringSettings(),
            experiment,
            store,
            progress,
            role,
        )


def settings_beside(settings: ScoringSettings, precision: str | None = None) -> ScoringSettings:
    """How a reference is scored beside a model that is scored with `settings`.

    The same way, except that it is not quantised because the model is: its precision is
    `precision`, by default the model's, and ``auto`` where that one is quantised.
    """
    if precision is None:
        precision = "auto" if settings.precision in QUANTISED else settings.precision
    return settings.with_precision(precision)


def _hub_model(written: str) -> ModelReference | None:
    """The Hub model that a reference may mean; only org/name is taken for one."""
    if "/" not in written:
        return None
    try:
        parsed = ModelReference.parse(written)
    except InputError:
        return None
    return parsed if parsed.kind == HUB else None


def _named(
    reference: str, texts: TextSet, experiment: str | None, store: MlflowClient, *, models: bool
) -> Point | None:
    """The score on these texts of that name: in the experiment, else anywhere."""
    on_these = f"tags.`{schema.TAG_TEXT_SET}` = '{texts.digest}'"
    for experiments in ((experiment,), ()) if experiment else ((),):
        runs = _runs(reference, experiments, store, on_these)
        found = matching(reference, runs, models=models)
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


def _nothing(reference: str, texts: TextSet, store: MlflowClient, role: str) -> InputError:
    """Why a name leads to no score on these texts."""
    everything = _runs(reference, (), store)
    elsewhere = matching(reference, everything)
    if elsewhere:
        return _other_texts(reference, elsewhere[0], texts, role)
    on_these = [run for run in everything if run.text_set == texts.digest]
    like = alike(reference, on_these)
    there = f"such as {listed(like)}" if like else "of which there are none on these texts yet"
    return InputError(
        f"The {role} {reference!r} is neither a run, a model, nor the name of a finished score; "
        f"write org/name, a directory, models:/name@alias, a run id or the name of a score, "
        f"{there}."
    )


def _other_texts(reference: str, run: Point, texts: TextSet, role: str) -> InputError:
    name = f" ({run.name!r})" if run.name != reference else ""
    return InputError(
        f"The {role} {reference!r}{name} was scored on the text set "
        f"{run.text_set_name or 'unnamed'} ({run.text_set[:12] or 'no digest'}), not on "
        f"{texts.name} ({texts.digest[:12]}); score it on {texts.name}, or name its model, which "
        "is then scored here."
    )


def _found(
    reference: str, run: Point, texts: TextSet, role: str, *, scored_now: bool = False
) -> ReferenceScore:
    """A score that is there, checked against the texts."""
    if run.text_set != texts.digest:
        raise _other_texts(reference, run, texts, role)
    matrix, _ = read_matrix([run])
    values, size = matrix.values[0], np.asarray(matrix.text_bytes)
    if len(values) != len(texts):
        raise InputError(
            f"Run {run.run_id} ({run.name!r}) holds {len(values)} texts but {texts.name} has "
            f"{len(texts)}; it is damaged, so score that model again."
        )
    weights = texts.weight_array
    return ReferenceScore(
        name=run.name,
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        log_likelihoods=values,
        bytes=size,
        bits_per_byte=bits_and_error(values, size, weights)[0],
        step=run.step,
        scored_now=scored_now,
        model=run.model,
        revision=run.revision,
        precision=run.precision,
        weights=weights,
    )


def _of_model(
    model: ModelReference,
    texts: TextSet,
    settings: ScoringSettings,
    experiment: str | None,
    store: MlflowClient,
    progress: bool,
    role: str,
) -> ReferenceScore:
    prepared = prepare(ScoreRequest(reference=model, settings=settings), texts)
    where = target_experiment(store, experiment)
    for run in scores_anywhere(prepared.identities, [where], store, texts=len(texts)):
        if says_the_same(run, prepared):
            try:
                return _found(str(model), run, texts, role)
            except DamagedRun:
                continue  # an unreadable vector is no score
    made = score_prepared(
        prepared,
        store=store,
        experiment=experiment,
        nested=False,
        progress=progress,
    )
    found = by_run_id(made.run_id, store)
    return _found(str(model), found, texts, role, scored_now=not made.skipped)
