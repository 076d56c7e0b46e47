"""Driver: the release gate - did a candidate drift too far from a reference?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.reference_score import (
    Distance,
    ReferenceScore,
    distance,
    reference_score,
    settings_beside,
)
from mlflow_modelmap.drivers.score import load_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.gate import gate_figure
from mlflow_modelmap.numerics.gate_decision import (
    FAIL,
    PASS,
    UNDECIDED,
    LimitDecision,
    Verdict,
    combine,
    decide_increase,
    decide_kl,
)
from mlflow_modelmap.numerics.gate_words import few_texts, limit_sentence, verdict_sentence
from mlflow_modelmap.numerics.with_error import with_error
from mlflow_modelmap.scoring.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.map_run import write_map_run
from mlflow_modelmap.tracking.models import fixed_version, registered_version, tag_version
from mlflow_modelmap.tracking.open_run import NOTE
from mlflow_modelmap.tracking.store import check_reachable, quiet

EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 2}
DECISION = "decision.json"


@dataclass(frozen=True)
class Gated:
    """One of the two models: its score's run and name, what was scored, its bits per byte."""

    name: str
    run_id: str
    model: str | None
    revision: str | None
    precision: str | None
    step: int | None
    bits_per_byte: float
    scored_now: bool


@dataclass(frozen=True)
class GateDecision:
    """What a gate decided, and on what grounds.

    Attributes
    ----------
    verdict
        ``pass``, ``fail`` or ``undecided``.
    run_id
        The run of kind ``gate`` that records it.
    candidate, reference
        The two models.
    limits
        Each limit with what was measured, its interval and its own verdict.
    kl, kl_se, words
        KL divergence in bits/byte with its standard error, and how large that is in words.
    bits_per_byte_difference, bits_per_byte_difference_se
        Of the candidate less the reference.
    confidence
        Of the intervals.
    texts, text_set, text_set_name
        Number, digest and name of the texts.
    paragraph
        All of it in one readable paragraph.
    notices
        What limits how far the decision can be trusted, a sentence each.
    """

    verdict: Verdict
    run_id: str
    candidate: Gated
    reference: Gated
    limits: tuple[LimitDecision, ...]
    kl: float
    kl_se: float
    words: str
    bits_per_byte_difference: float
    bits_per_byte_difference_se: float
    confidence: float
    texts: int
    text_set: str
    text_set_name: str
    paragraph: str
    notices: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """What `modelmap gate` exits with: 0 pass, 1 fail, 2 undecided."""
        return EXIT_CODES[self.verdict]


def gate(
    candidate: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    texts: TextSet | str | os.PathLike[str],
    *,
    max_kl: float | None = None,
    max_bits_per_byte_increase: float | None = None,
    confidence: float = 0.95,
    settings: ScoringSettings | None = None,
    reference_precision: str | None = None,
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
        `drivers.reference_score`.
    texts
        A text set, or what `read_texts` takes.
    max_kl
        The largest KL divergence that passes, bits/byte.
    max_bits_per_byte_increase
        By how much the candidate may predict the texts worse; below 0 it has to be better. At
        least one of the two limits is needed.
    confidence
        Of the intervals that decide.
    settings
        How models are scored.
    reference_precision
        That of the reference; by default the candidate's, or ``auto`` where that is quantised.
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
    if max_kl is None and max_bits_per_byte_increase is None:
        raise InputError(
            "A gate needs a limit; give max_kl (--max-kl) or max_bits_per_byte_increase."
        )
    # What is impossible is refused before any model is read.
    _decide(
        Distance(0.0, 0.0, 0.0, 0.0, "", 0.0, 0.0),
        2,
        max_kl,
        max_bits_per_byte_increase,
        confidence,
    )
    with quiet():
        store = check_reachable()
        version = _version(candidate) if tag_version else None
        text_set, source = load_texts(texts)
        if len(text_set) < 2:
            raise InputError(
                f"The text set {text_set.name!r} holds one text, which decides nothing; use some "
                "hundreds, and 30 at the very least."
            )
        asked = settings or ScoringSettings()
        first, second = (
            reference_score(
                written,
                text_set,
                settings=how,
                experiment=experiment,
                source=source,
                store=store,
                progress=progress,
                role=role,
            )
            for written, how, role in (
                (candidate, asked, "candidate"),
                (reference, settings_beside(asked, reference_precision), "reference"),
            )
        )
        measured = distance(second, first.log_likelihoods, first.bytes, name=first.name)
        limits = _decide(measured, len(text_set), max_kl, max_bits_per_byte_increase, confidence)
        facts = _facts(first, second, measured, limits, confidence, text_set)
        made = _log(facts, name, experiment, run_id, store)
        if version is not None:
            _tag(version, facts["verdict"], made, store)
    return GateDecision(run_id=made, **facts)


def _decide(
    measured: Distance,
    texts: int,
    max_kl: float | None,
    max_increase: float | None,
    confidence: float,
) -> tuple[LimitDecision, ...]:
    limits = []
    if max_kl is not None:
        limits.append(decide_kl(measured.kl, measured.kl_se, max_kl, texts, confidence))
    if max_increase is not None:
        difference, se = measured.bits_difference, measured.bits_difference_se
        limits.append(decide_increase(difference, se, max_increase, texts, confidence))
    return tuple(limits)


def _version(candidate: str | os.PathLike[str]) -> tuple[str, str]:
    written = os.fspath(candidate)
    found = None
    if written.startswith("models:/"):
        found = registered_version(fixed_version(ModelReference.parse(written)))
    if found is None:
        raise InputError(
            f"The verdict cannot be tagged on {written!r}, which is no version of a registered "
            "model; name the candidate as models:/name/version, or leave the tag out."
        )
    return found


def _facts(
    candidate: ReferenceScore,
    reference: ReferenceScore,
    measured: Distance,
    limits: tuple[LimitDecision, ...],
    confidence: float,
    texts: TextSet,
) -> dict[str, Any]:
    """Everything in a `GateDecision` but its run."""
    verdict = combine(limit.verdict for limit in limits)
    weak = few_texts(len(texts), texts.name) if measured.kl_se else None
    sentences = [
        f"{candidate.name} (run {candidate.run_id[:8]}) against {reference.name} "
        f"(run {reference.run_id[:8]}) on {len(texts):,} texts of {texts.name}: KL divergence "
        f"{with_error(measured.kl, measured.kl_se)} bits/byte, which is {measured.words}.",
        *(limit_sentence(limit, confidence) for limit in limits),
        *([weak] if weak else []),
        verdict_sentence(verdict, limits),
    ]
    return {
        "verdict": verdict,
        "candidate": _gated(candidate),
        "reference": _gated(reference),
        "limits": limits,
        "kl": measured.kl,
        "kl_se": measured.kl_se,
        "words": measured.words,
        "bits_per_byte_difference": measured.bits_difference,
        "bits_per_byte_difference_se": measured.bits_difference_se,
        "confidence": confidence,
        "texts": len(texts),
        "text_set": texts.digest,
        "text_set_name": texts.name,
        "paragraph": " ".join(sentences),
        "notices": (weak,) if weak else (),
    }


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
    )


def as_json(facts: GateDecision | dict[str, Any]) -> dict[str, Any]:
    """A decision as plain values, for ``decision.json`` and ``--json``."""
    if isinstance(facts, GateDecision):
        return {**asdict(facts), "exit_code": facts.exit_code}
    return {
        **facts,
        "candidate": asdict(facts["candidate"]),
        "reference": asdict(facts["reference"]),
        "limits": [asdict(limit) for limit in facts["limits"]],
    }


def _log(
    facts: dict[str, Any],
    name: str | None,
    experiment: str | None,
    run_id: str | None,
    store: MlflowClient,
) -> str:
    candidate, reference = facts["candidate"], facts["reference"]
    metrics = {
        "kl": facts["kl"],
        "kl_se": facts["kl_se"],
        "bits_per_byte": candidate.bits_per_byte,
        "reference_bits_per_byte": reference.bits_per_byte,
        "bits_per_byte_difference": facts["bits_per_byte_difference"],
        "bits_per_byte_difference_se": facts["bits_per_byte_difference_se"],
    }
    for limit in facts["limits"]:
        metrics[f"{limit.quantity}_low"], metrics[f"{limit.quantity}_high"] = limit.low, limit.high
    return write_map_run(
        schema.KIND_GATE,
        figures={"gate": gate_figure(facts["limits"], facts["confidence"])},
        texts={DECISION: json.dumps(as_json(facts), indent=2, ensure_ascii=False)},
        metrics=metrics,
        params={
            "candidate": candidate.name,
            "reference": reference.name,
            **{f"max_{limit.quantity}": limit.limit for limit in facts["limits"]},
            "confidence": facts["confidence"],
            "texts": facts["texts"],
        },
        tags={
            schema.TAG_GATE: facts["verdict"],
            schema.TAG_CANDIDATE_RUN: candidate.run_id,
            schema.TAG_REFERENCE_RUN: reference.run_id,
            schema.TAG_TEXT_SET: facts["text_set"],
            schema.TAG_TEXT_SET_NAME: facts["text_set_name"],
            NOTE: facts["paragraph"],
        },
        name=name or f"gate {candidate.name}",
        experiment=experiment,
        run_id=run_id,
        store=store,
    )


def _tag(version: tuple[str, str], verdict: str, run_id: str, store: MlflowClient) -> None:
    tag_version(*version, {schema.TAG_GATE: verdict, schema.TAG_GATE_RUN: run_id}, store)
