"""Driver: the models that a plan stands for - its lists and templates multiplied out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlflow_modelmap.drivers.score.plan_file import ModelEntry, Plan, PlanSettings
from mlflow_modelmap.drivers.score.request import ScoreRequest, trajectory_of
from mlflow_modelmap.drivers.score.resolve_served import served_reference
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.identity import ROUNDING_ONLY
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import (
    FOUR_BIT,
    GOES_WITH,
    TRANSFORMERS,
    ScoringSettings,
)

STEP = "{step}"
MOST_STEPS = 100_000
"""So many checkpoints one entry of a plan may stand for."""


def requests(plan: Plan, folder: str | os.PathLike[str] = ".") -> list[ScoreRequest]:
    """The models that a plan stands for, in its order.

    Parameters
    ----------
    folder
        Where the plan lies; local models are looked for there first.

    Raises
    ------
    InputError
        If an entry contradicts itself or one model is asked for twice.
    """
    made: list[ScoreRequest] = []
    seen: dict[tuple[Any, ...], int] = {}
    for number, entry in enumerate(plan.models, start=1):
        for request in _expanded(entry, plan.defaults, number, Path(folder)):
            settings = request.settings.model_dump(exclude=set(ROUNDING_ONLY))
            labels = tuple(sorted(request.labels().items()))
            key = (request.reference, request.base, tuple(settings.values()), labels)
            if key in seen:
                raise InputError(
                    f"The plan asks for {request.point_name!r} twice, in models {seen[key]} and "
                    f"{number}; drop one."
                )
            seen[key] = number
            made.append(request)
    return made


_ONE_OR_MANY = (
    *(("revision", "revisions"), ("step", "steps"), ("precision", "precisions")),
    ("int8_threshold", "int8_thresholds"),
)


def _expanded(
    entry: ModelEntry, defaults: PlanSettings, number: int, folder: Path
) -> Iterator[ScoreRequest]:
    def refuse(what: str) -> InputError:
        return InputError(f"Model {number} of the plan ({entry.model!r}) {what}.")

    for one, many in _ONE_OR_MANY:
        if {one, many} <= entry.model_fields_set:
            raise refuse(f"has both {one} and {many}; give one of them")
    templates = (entry.model, entry.revision or "", *(entry.revisions or ()), entry.name or "")
    templated = any(STEP in text for text in templates[:-1])
    if entry.steps is not None and not templated:
        raise refuse(f"has steps, but no {STEP} in its model or revision, so all are the same")
    if entry.steps is None and entry.step is None and any(STEP in text for text in templates):
        raise refuse(f"has {STEP} in its name but no steps; list them under steps")
    asked = sum(len(range(of.start, of.stop + 1, of.every)) for of in entry.steps or ())
    if asked > MOST_STEPS:
        raise refuse(f"has {asked:,} steps, and more than {MOST_STEPS:,} are a mistake; list fewer")
    values = {**defaults.said(), **entry.said()}
    # What an entry says of its precision replaces both forms of the defaults.
    for one, many in _ONE_OR_MANY[2:]:
        if one in entry.model_fields_set:
            values.pop(many, None)
        elif many in entry.model_fields_set:
            values.pop(one, None)
        elif one in values and many in values:
            raise InputError(f"The plan's defaults have both {one} and {many}; give one.")
    precisions = [
        one
        for precision in values.get("precisions") or [values.get("precision", "auto")]
        for one in _in_precision(precision, values)
    ]
    for revision in entry.revisions or (entry.revision,):
        for step in _steps(entry):
            for precision in precisions:
                try:
                    yield _request(entry, values, revision, step, precision, precisions, folder)
                except InputError as error:
                    raise InputError(f"Model {number} of the plan: {error}") from None


class _InPrecision(NamedTuple):
    """A precision, and with several thresholds of LLM.int8 one of them."""

    precision: str
    threshold: float | None = None

    @property
    def label(self) -> str:
        return (
            f"{self.precision} threshold {self.threshold:g}" if self.threshold else self.precision
        )


def _in_precision(precision: str, values: Mapping[str, Any]) -> list[_InPrecision]:
    """A precision as often as the plan has thresholds for it."""
    thresholds = values.get("int8_thresholds") if precision == "int8" else None
    return [_InPrecision(precision, of) for of in dict.fromkeys(thresholds or [None])]


def _steps(entry: ModelEntry) -> list[int | None]:
    if entry.steps is None:
        return [entry.step]
    return list(dict.fromkeys(step for part in entry.steps for step in part.steps()))


def _request(
    entry: ModelEntry,
    values: Mapping[str, Any],
    revision: str | None,
    step: int | None,
    in_precision: _InPrecision,
    precisions: list[_InPrecision],
    folder: Path,
) -> ScoreRequest:
    precision, threshold = in_precision

    def filled(text: str | None) -> str | None:
        if text is None:
            return None
        text = text.replace("{precision}", in_precision.label).replace(
            "{revision}", revision or "main"
        )
        return text if step is None else text.replace(STEP, str(step))

    def found(model: str) -> str:
        beside = folder / os.path.expanduser(model)
        return os.fspath(beside) if os.path.exists(beside) else model

    chosen = {key: values[key] for key in ScoringSettings.model_fields if key in values}
    if "tokenizer" in chosen:
        chosen["tokenizer"] = found(filled(chosen["tokenizer"]) or "")
    for key, engines in GOES_WITH.items():  # what the defaults say for models of another engine
        if chosen.get("engine", TRANSFORMERS) not in engines and key not in entry.model_fields_set:
            chosen.pop(key, None)
    if precision not in FOUR_BIT:
        chosen.pop("double_quantization", None)
    if threshold is not None:
        chosen["int8_threshold"] = threshold
    settings = ScoringSettings(**{**chosen, "precision": precision})
    reference = served_reference(found(filled(entry.model) or ""), filled(revision), settings)
    base_model = filled(values.get("base_model"))
    trajectory = values.get("trajectory") or trajectory_of(reference, step)
    if trajectory is not None and len(precisions) > 1 and is_quantised(precision):
        trajectory = (
            f"{trajectory} {in_precision.label}"  # one trajectory holds one checkpoint a step
        )
    return ScoreRequest(
        reference=reference,
        settings=settings,
        trajectory=filled(trajectory),
        step=step,
        model_type=values.get("model_type"),
        base_model=found(base_model) if base_model else None,
        name=filled(entry.name),
        base=ModelReference.parse(found(filled(entry.base) or "")) if entry.base else None,
    )
