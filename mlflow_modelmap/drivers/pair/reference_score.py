"""Driver: the score of a reference on a text set - found by any name it has, or made now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.pair.meant import Meant, Trusted, meant, other_texts
from mlflow_modelmap.drivers.pair.named_score import by_run_id
from mlflow_modelmap.drivers.pair.other_vectors import settings_for
from mlflow_modelmap.drivers.score.found import says_the_same
from mlflow_modelmap.drivers.score.score import score_prepared
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.find_score import scores_with
from mlflow_modelmap.tracking.runs.left_out import DamagedRun
from mlflow_modelmap.tracking.runs.open_run import target_experiment
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.vectors import CONDITIONAL

MADE, FOUND, NAMED = "made", "found", "named"
"""Where a score comes from: scored for this question; found by what was asked for, in a trusted
experiment; or named by whoever asked."""


@dataclass(frozen=True, eq=False)
class ReferenceScore:
    """The log-likelihood vector of a model on a text set, and the run that holds it.

    Attributes
    ----------
    name, run_id, experiment_id
        Of the run; the name tells a checkpoint of a monitored training, or an imported point, from
        its run's others.
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
    model, revision, commit, precision
        What was scored, as far as the run says.
    weights
        The text set's weights, shape (N,), or None.
    documents
        The number of each text's document, int64, shape (N,), -1 for none, or None: as the text
        set says, else as the run does.
    requested, resolved
        What was written, and what that stood for before anything was scored; see `Meant`.
    origin
        `MADE`, `FOUND` or `NAMED`.
    noise_kl
        Between two scores of it that differ by arithmetic only, bits/byte, or None.
    vector
        Which of its vectors `log_likelihoods` are.
    point
        The point that it is in its run.
    likelihoods
        Where they are PMI: the log-likelihoods that bits per byte are of, shape (N,); else None.
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
    commit: str | None = None
    precision: str | None = None
    weights: np.ndarray | None = None
    documents: np.ndarray | None = None
    requested: str = ""
    resolved: str = ""
    origin: str = NAMED
    noise_kl: float | None = None
    vector: str = CONDITIONAL
    likelihoods: np.ndarray | None = None
    point: Point | None = None


def reference_score(
    reference: str | os.PathLike[str],
    texts: TextSet,
    *,
    settings: ScoringSettings | None = None,
    vector: str = CONDITIONAL,
    experiment: str | None = None,
    trusted: Sequence[str] = (),
    again: bool = False,
    store: MlflowClient | None = None,
    progress: bool = False,
    role: str = "reference",
) -> ReferenceScore:
    """The score of a reference on a text set.

    Parameters
    ----------
    reference
        A run id, ``RUN_ID@STEP`` (a checkpoint of a monitored training; without the step its last
        one), ``RUN_ID@NAME`` (an imported point), the name of a score run or point on these
        texts, or a model: ``org/name``, ``org/name@revision``, a directory, ``models:/name/1``,
        ``models:/name@alias``, ``runs:/RUN_ID/path``. A name that a run of the experiment (or a
        trusted one) has wins over a model of the Hub.
    texts
        The texts on which something is to be compared with it.
    settings
        How a model is scored that is not scored yet.
    vector
        Which of its vectors: ``conditional``, ``unconditional`` or ``pmi``.
    experiment
        Where names are looked up first, where a score of the model under the same settings is
        believed, and where a score goes that is made now; by default the experiment of the active
        run, else the current one.
    trusted
        Names of further experiments whose scores are believed, if their own tags agree.
    again
        Whether a model is scored even if the same score is there; a named score is refused then.
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
    with quiet():
        store = store or check_reachable()
        how = Trusted.of(target_experiment(store, experiment), trusted, store)
        found = meant(
            reference,
            texts,
            settings=settings_for(settings or ScoringSettings(), vector, texts),
            trusted=how,
            again=again,
            store=store,
            role=role,
        )
        return score_of(
            found,
            texts,
            vector=vector,
            trusted=how,
            again=again,
            store=store,
            progress=progress,
        )


def score_of(
    asked: Meant,
    texts: TextSet,
    *,
    vector: str = CONDITIONAL,
    trusted: Trusted,
    again: bool,
    store: MlflowClient,
    progress: bool,
) -> ReferenceScore:
    """The score of what is meant: as named, found in a trusted experiment, or made in the own one.

    Raises
    ------
    InputError, ScoringError, TrackingError
        As `reference_score`.
    """
    if asked.named is not None:
        return _read(asked, asked.named, texts, NAMED, vector)
    prepared = asked.prepared
    assert prepared is not None
    if not again:
        there = scores_with(prepared.identities, trusted.ids, store, texts=len(texts))
        there.sort(key=lambda run: trusted.ids.index(run.experiment_id))
        for run in there:
            if says_the_same(run, prepared):
                # A vector that cannot be read is no score.
                with contextlib.suppress(DamagedRun):
                    return _read(asked, run, texts, FOUND, vector)
    made = score_prepared(
        prepared,
        store=store,
        experiment=trusted.names[0],
        nested=False,
        again=again,
        progress=progress,
    )
    return _read(asked, by_run_id(made.run_id, store), texts, MADE, vector)


def settings_beside(settings: ScoringSettings, precision: str | None = None) -> ScoringSettings:
    """How a reference is scored beside a model that is scored with `settings`.

    The same way, except that it is not quantised because the model is: its precision is
    `precision`, by default the model's, and ``auto`` where that one is quantised.
    """
    if precision is None:
        precision = "auto" if is_quantised(settings.precision) else settings.precision
    return settings.with_precision(precision)


def _read(asked: Meant, run: Point, texts: TextSet, origin: str, vector: str) -> ReferenceScore:
    """A score that is there, checked against the texts."""
    if run.text_set != texts.digest:
        raise other_texts(asked.requested, run, texts, asked.role)
    matrix, points = read_matrix([run], vector=vector)
    values, size = matrix.values[0], np.asarray(matrix.text_bytes)
    if len(values) != len(texts):
        raise InputError(
            f"Run {run.run_id} ({run.name!r}) holds {len(values)} texts but {texts.name} has "
            f"{len(texts)}; it is damaged, so score that model again."
        )
    likelihoods = None if matrix.likelihoods is None else matrix.likelihoods[0]
    weights, documents = texts.weight_array, texts.document_codes
    documents = matrix.documents if documents is None else documents
    return ReferenceScore(
        name=run.name,
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        log_likelihoods=values,
        bytes=size,
        bits_per_byte=bits_and_error(values if likelihoods is None else likelihoods, size, weights)[
            0
        ],
        step=run.step,
        scored_now=origin == MADE,
        model=run.model,
        revision=run.revision,
        commit=run.commit,
        precision=run.precision,
        weights=weights,
        documents=documents,
        requested=asked.requested,
        resolved=asked.resolved,
        origin=origin,
        noise_kl=points[0].noise_kl,
        vector=vector,
        likelihoods=likelihoods,
        point=run,
    )
