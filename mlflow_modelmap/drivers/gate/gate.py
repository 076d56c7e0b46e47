"""Driver: the release gate - did a candidate drift too far from a reference?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.exact import ExactOptions, exact_between
from mlflow_modelmap.drivers.gate.limits import Limits, in_texts
from mlflow_modelmap.drivers.gate.record import MEASURED, Gated, log_decision
from mlflow_modelmap.drivers.gate.record import GateDecision as GateDecision
from mlflow_modelmap.drivers.gate.record import as_json as as_json
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.drivers.pair.meant import Meant, Trusted, meant
from mlflow_modelmap.drivers.pair.named_score import by_run_id
from mlflow_modelmap.drivers.pair.other_vectors import settings_for
from mlflow_modelmap.drivers.pair.reference_score import (
    NAMED,
    ReferenceScore,
    score_of,
    settings_beside,
)
from mlflow_modelmap.drivers.pair.scale_at_hand import scale_at_hand
from mlflow_modelmap.drivers.pair.with_reference import compare_with_reference, unlike_reading
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.noise_floor import noise_sentence
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.gate.verdict import KL, LimitDecision, combine
from mlflow_modelmap.numerics.gate.words import (
    exact_sentence,
    few_texts,
    limit_sentence,
    unseen,
    verdict_sentence,
)
from mlflow_modelmap.numerics.matrix.sampling import uneven_lengths
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import registered_version
from mlflow_modelmap.tracking.registry.write_back import tag_version
from mlflow_modelmap.tracking.runs.open_run import target_experiment
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_name
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.redact import redact
from mlflow_modelmap.words.texts_or_responses import called
from mlflow_modelmap.words.value_and_error import with_error
from mlflow_modelmap.words.vectors import CONDITIONAL, explained, of_vectors


def gate(
    candidate: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    texts: TextSet | str | os.PathLike[str],
    *,
    max_kl: float | None = None,
    max_bits_per_byte_increase: float | None = None,
    max_exact_kl: float | None = None,
    exact: bool = False,
    exact_texts: int | None = None,
    confidence: float = 0.95,
    settings: ScoringSettings | None = None,
    vector: str = CONDITIONAL,
    reference_precision: str | None = None,
    trusted: Sequence[str] = (),
    again: bool = False,
    allow_pickles: bool = False,
    tag_version: bool = False,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    progress: bool = False,
) -> GateDecision:
    """Decide whether a candidate is close enough to a reference; log the decision as a run.

    Parameters
    ----------
    candidate, reference
        Each a model (``org/name``, a directory, ``models:/name/1``, ``models:/name@alias``, ...),
        which is scored if it is not scored yet, or a score by run id or name; see
        `drivers.pair.reference_score`. What both stand for is settled before anything is scored.
    texts
        A text set, or what `read_texts` takes.
    max_kl
        The largest KL divergence that passes, bits/byte.
    max_bits_per_byte_increase
        By how much the candidate may predict the texts worse; below 0 it has to be better. At
        least one of the limits is needed.
    max_exact_kl
        The largest exact KL(reference || candidate) that passes, bits/byte; asks for `exact`.
    exact, exact_texts
        Whether the two models are run once more and compared token by token, and on how many of the
        texts; they must share a vocabulary.
    confidence
        Of the intervals that decide.
    settings
        How models are scored.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``; for the last two
        responses are scored without their prompts too.
    reference_precision
        That of the reference; by default the candidate's, or ``auto`` where that is quantised.
    trusted
        Names of experiments whose scores are believed beside those of the gate's own one, the one
        that it logs into, if their own tags agree with what is asked for.
    again
        Whether both are scored anew, whatever scores there are.
    allow_pickles
        Whether a candidate may have its weights as a pickle only.
    tag_version
        Whether the verdict is set as a tag on the candidate, a version of a registered model.
    name, experiment, run_id
        Where the run of kind ``gate`` goes; new scores go into the same experiment.
    progress
        Whether progress bars are shown on stderr.

    Returns
    -------
    GateDecision

    Raises
    ------
    InputError, ScoringError, TrackingError
        One sentence each. A failed gate is no error: the decision was made.
    """
    limits = Limits(max_kl, max_bits_per_byte_increase, confidence, max_exact_kl)
    with quiet():
        store = check_reachable()
        text_set = load_texts(texts)
        if len(text_set) < 2:
            raise InputError(
                f"The text set {text_set.name!r} holds one text, which decides nothing; use some "
                "hundreds, and 30 at the very least."
            )
        where = (
            find_run(run_id, store).info.experiment_id
            if run_id
            else target_experiment(store, experiment)
        )
        believed = Trusted.of(where, _names(trusted), store)
        asked = settings_for(settings or ScoringSettings(), vector, text_set)
        both = [
            meant(
                written,
                text_set,
                settings=how,
                trusted=believed,
                again=again,
                store=store,
                role=role,
            )
            for written, how, role in (
                (candidate, replace(asked, safetensors_only=not allow_pickles), "candidate"),
                (reference, settings_beside(asked, reference_precision), "reference"),
            )
        ]
        version = _version(both[0]) if tag_version else None
        first, second = (
            score_of(
                one,
                text_set,
                vector=vector,
                trusted=believed,
                again=again,
                store=store,
                progress=progress,
            )
            for one in both
        )
        measured = compare_with_reference(
            second,
            first.log_likelihoods,
            first.bytes,
            name=first.name,
            noise_kl=first.noise_kl,
            likelihoods=first.likelihoods,
            own=scale_at_hand(text_set.digest, text_set.weights_digest, believed.ids, store),
            level=confidence,
            unit=called(text_set.prompts),
        )
        study = None
        if exact or max_exact_kl is not None:
            # Of models that were asked for, never of those that a named run says it scored.
            own = [str(one.model) for one in (first, second) if one.origin != NAMED]
            options = ExactOptions(
                text_set,
                exact_texts,
                asked.device,
                asked.device_map,
                tuple(own) if asked.trust_remote_code else (),
            )
            points = (by_run_id(second.run_id, store), by_run_id(first.run_id, store))
            study = exact_between(
                [points],
                store,
                options,
                experiment=experiment_name(where, store),
                progress=progress,
            )
        told = None if study is None else study.comparisons[0].summary
        decided = limits.decide(measured, measured.documents or len(text_set), told)
        decided = tuple(in_texts(one, len(text_set), measured.documents) for one in decided)
        taken = [
            _named(role, score, store)
            for role, score in (("candidate", first), ("reference", second))
            if score.origin == NAMED
        ]
        if first.point is not None:
            taken += unlike_reading(second, first.point)
        facts = _facts(first, second, measured, decided, confidence, text_set, taken, told)
        if study is not None and told is not None:
            facts["exact"] = {**told.as_json(), "run_id": study.run_id}
        made = log_decision(facts, name, experiment, run_id, store)
        if version is not None:
            _tag(version, facts["verdict"], made, store)
    return GateDecision(run_id=made, **facts)


def _names(trusted: Sequence[str]) -> tuple[str, ...]:
    """Names of experiments; a single one may be given as it is."""
    return (trusted,) if isinstance(trusted, str) else tuple(trusted)


def _version(candidate: Meant) -> tuple[str, str]:
    found = None
    if candidate.prepared is not None:
        found = registered_version(candidate.prepared.request.reference)
    if found is None:
        raise InputError(
            f"The verdict cannot be tagged on {candidate.requested!r}, which is no version of a "
            "registered model; name the candidate as models:/name/version, or leave the tag out."
        )
    return found


def _facts(
    candidate: ReferenceScore,
    reference: ReferenceScore,
    measured: Comparison,
    limits: tuple[LimitDecision, ...],
    confidence: float,
    texts: TextSet,
    taken: Sequence[str],
    exact: ExactKL | None = None,
) -> dict[str, Any]:
    """Everything in a `GateDecision` but its run."""
    verdict = combine(limit.verdict for limit in limits)
    units, unit = len(texts), "text"
    if measured.documents and measured.documents < units:
        units, unit = measured.documents, "document"
    weak = few_texts(units, texts.name, unit) if measured.se else None
    noise = noise_sentence(measured.noise_floor) if measured.within_noise else None
    uneven = uneven_lengths(measured.length_variation) if measured.kl else None
    hidden = None
    if all(limit.quantity == KL for limit in limits):
        hidden = unseen(
            measured.bits_per_byte_difference,
            measured.bits_per_byte_difference_se,
            measured.bits_per_byte_difference_low,
            measured.bits_per_byte_difference_high,
        )
    about = explained(measured.vector)
    notices = (*filter(None, (weak, hidden, uneven, noise, about)), *taken)
    sentences = [
        f"{candidate.name} (run {candidate.run_id[:8]}) against {reference.name} "
        f"(run {reference.run_id[:8]}) on {texts.counted} of {texts.name}: KL divergence"
        f"{of_vectors(measured.vector)} {with_error(measured.kl, measured.se)} bits/byte, which is "
        f"{measured.words}; it is {measured.sharpness}.",
        f"Bits per byte: {with_error(measured.bits_per_byte, measured.bits_per_byte_se)} against "
        f"{with_error(measured.other_bits_per_byte, measured.other_bits_per_byte_se)}, a "
        f"difference of "
        f"{with_error(measured.bits_per_byte_difference, measured.bits_per_byte_difference_se)}.",
        *([] if exact is None else [exact_sentence(exact)]),
        *(limit_sentence(limit, confidence) for limit in limits),
        *notices,
        verdict_sentence(verdict, limits),
    ]
    return {
        "verdict": verdict,
        "candidate": _gated(candidate),
        "reference": _gated(reference),
        "limits": limits,
        **{name: value for name, value in measured.logged().items() if name in MEASURED},
        "low": measured.low,
        "high": measured.high,
        "confidence": confidence,
        "texts": len(texts),
        "text_set": texts.digest,
        "text_set_name": texts.name,
        "paragraph": " ".join(sentences),
        "notices": notices,
        **({} if measured.vector == CONDITIONAL else {"vector": measured.vector}),
    }


def _named(role: str, score: ReferenceScore, store: MlflowClient) -> str:
    """The sentence for a score that nobody made or checked."""
    where = experiment_name(score.experiment_id, store)
    return (
        f"The score of the {role} was named, as run {score.run_id} of the experiment {where!r}: it "
        "was neither made nor verified by this gate."
    )


def _gated(score: ReferenceScore) -> Gated:
    return Gated(
        name=score.name,
        run_id=score.run_id,
        model=score.model,
        revision=score.revision,
        precision=score.precision,
        step=score.step,
        bits_per_byte=score.bits_per_byte,
        scored_now=score.scored_now,
        commit=score.commit,
        requested=redact(score.requested),
        resolved=redact(score.resolved),
        origin=score.origin,
    )


def _tag(version: tuple[str, str], verdict: str, run_id: str, store: MlflowClient) -> None:
    tag_version(*version, {schema.TAG_GATE: verdict, schema.TAG_GATE_RUN: run_id}, store)
