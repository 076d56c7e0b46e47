"""Driver: a gate's decision, as a value and as a run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.figures.gate import gate_figure
from mlflow_modelmap.numerics.gate.verdict import FAIL, PASS, UNDECIDED, LimitDecision, Verdict
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import write_study
from mlflow_modelmap.words.json_values import finite
from mlflow_modelmap.words.vectors import CONDITIONAL

EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 2}
DECISION = "decision.json"
MEASURED = (
    "kl",
    "kl_se",
    "words",
    "bits_per_byte_difference",
    "bits_per_byte_difference_se",
    "bits_per_byte_difference_low",
    "bits_per_byte_difference_high",
    "half_in",
    "sharpness",
)
"""What a decision holds of a `Comparison`, under the names that `Comparison.logged` gives it."""


@dataclass(frozen=True)
class Gated:
    """One of the two models: its score's run and name, what was scored, its bits per byte.

    Attributes
    ----------
    requested, resolved
        As it was asked for, and what that stood for before anything was scored:
        ``models:/name/version``, ``org/name@commit``, a directory or a run id.
    origin
        Of the score: ``made`` for this gate, ``found`` in an experiment that it trusts, or
        ``named`` by whoever asked.
    """

    name: str
    run_id: str
    model: str | None
    revision: str | None
    precision: str | None
    step: int | None
    bits_per_byte: float
    scored_now: bool
    commit: str | None = None
    requested: str = ""
    resolved: str = ""
    origin: str = ""


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
    low, high
        The confidence interval of the KL, at the level `confidence`.
    bits_per_byte_difference, bits_per_byte_difference_se
        Of the candidate less the reference.
    bits_per_byte_difference_low, bits_per_byte_difference_high
        The interval of that.
    half_in
        How many texts make up half of the KL.
    sharpness
        How sharply the size of the KL is known, and how few texts carry it, in words.
    exact
        The exact comparison, A the reference and B the candidate, as `ExactKL.as_json` gives it,
        and the ``run_id`` of its run; None if it was not asked for.
    confidence
        Of the intervals.
    texts, text_set, text_set_name
        Number, digest and name of the texts.
    paragraph
        All of it in one readable paragraph.
    vector
        Which of the models' vectors the KL is of.
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
    bits_per_byte_difference_low: float = math.nan
    bits_per_byte_difference_high: float = math.nan
    half_in: int | None = None
    sharpness: str = ""
    exact: dict[str, Any] | None = None
    vector: str = CONDITIONAL
    low: float = math.nan
    high: float = math.nan

    @property
    def exit_code(self) -> int:
        """What `modelmap gate` exits with: 0 pass, 1 fail, 2 undecided."""
        return EXIT_CODES[self.verdict]


def as_json(facts: GateDecision | dict[str, Any]) -> dict[str, Any]:
    """A decision as plain values, for ``decision.json`` and ``--json``.

    What `modelmap compare --json` has too stands under its names as well: ``se``, ``low``,
    ``high``, ``bits_per_byte`` (the candidate's) and ``other_bits_per_byte`` (the reference's).
    """
    if isinstance(facts, GateDecision):
        values = {**asdict(facts), **_as_compared(asdict(facts)), "exit_code": facts.exit_code}
        if facts.vector == CONDITIONAL:
            del values["vector"]
        return values
    values = {
        **facts,
        "candidate": asdict(facts["candidate"]),
        "reference": asdict(facts["reference"]),
        "limits": [asdict(limit) for limit in facts["limits"]],
    }
    return {**values, **_as_compared(values)}


def _as_compared(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "se": values["kl_se"],
        "bits_per_byte": values["candidate"]["bits_per_byte"],
        "other_bits_per_byte": values["reference"]["bits_per_byte"],
    }


def _notices(said: Sequence[str]) -> dict[str, str]:
    return {"notices": json.dumps(list(said), ensure_ascii=False)} if said else {}


def log_decision(
    facts: dict[str, Any],
    name: str | None,
    experiment: str | None,
    run_id: str | None,
    store: MlflowClient,
) -> str:
    """Log the facts of a decision as a run of kind ``gate``; its id comes back."""
    candidate, reference = facts["candidate"], facts["reference"]
    metrics = {
        **{name: facts[name] for name in MEASURED if isinstance(facts[name], (int, float))},
        "bits_per_byte": candidate.bits_per_byte,
        "reference_bits_per_byte": reference.bits_per_byte,
    }
    for limit in facts["limits"]:
        metrics[f"{limit.quantity}_low"], metrics[f"{limit.quantity}_high"] = limit.low, limit.high
    return write_study(
        schema.KIND_GATE,
        figures={
            "gate": gate_figure(
                facts["limits"],
                facts["confidence"],
                bits_per_byte=(candidate.bits_per_byte, reference.bits_per_byte),
                difference=(
                    facts["bits_per_byte_difference"],
                    facts["bits_per_byte_difference_se"],
                ),
            )
        },
        texts={DECISION: json.dumps(finite(as_json(facts)), indent=2, ensure_ascii=False)},
        metrics=metrics,
        vector=facts.get("vector"),
        params={
            "candidate": candidate.name,
            "reference": reference.name,
            "candidate_resolved": candidate.resolved,
            "reference_resolved": reference.resolved,
            **{f"max_{limit.quantity}": limit.limit for limit in facts["limits"]},
            "confidence": facts["confidence"],
            "texts": facts["texts"],
            **_notices(facts["notices"]),
        },
        tags={
            schema.TAG_GATE: facts["verdict"],
            schema.TAG_CANDIDATE_RUN: candidate.run_id,
            schema.TAG_REFERENCE_RUN: reference.run_id,
            schema.TAG_TEXT_SET: facts["text_set"],
            schema.TAG_TEXT_SET_NAME: facts["text_set_name"],
            schema.TAG_NOTE: facts["paragraph"],
        },
        name=name or f"gate {candidate.name}",
        experiment=experiment,
        run_id=run_id,
        store=store,
    )
