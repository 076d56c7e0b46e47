"""Driver: the plan of a sweep - a strict YAML file, and the list of models that it stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlflow_modelmap.drivers.score.one_score import ScoreRequest
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings

Text = Annotated[str, Field(min_length=1)]
Step = Annotated[int, Field(ge=0)]
STEP = "{step}"
QUANTISED = ("int8", "nf4", "fp4")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StepRange(_Strict):
    """Steps `start`, `start` + `every`, ... up to and with `stop`."""

    start: Step = 0
    stop: Step
    every: Annotated[int, Field(ge=1)]

    def steps(self) -> list[int]:
        """The steps themselves."""
        return list(range(self.start, self.stop + 1, self.every))


class Settings(_Strict):
    """What can be said for all models (under ``defaults``) or for one."""

    precision: Text | None = None
    precisions: Annotated[list[Text], Field(min_length=1)] | None = None
    device: Text | None = None
    device_map: Text | None = None
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    bos: Text | None = None
    overlong: Text | None = None
    split_special_tokens: bool | None = None
    matmul: Text | None = None
    layers: bool | None = None
    double_quantization: bool | None = None
    int8_threshold: float | None = None
    trust_remote_code: bool | None = None
    trajectory: Text | None = None
    model_type: Text | None = None
    base_model: Text | None = None


class ModelEntry(Settings):
    """One model, or one training with many checkpoints."""

    model: Text
    revision: Text | None = None
    revisions: Annotated[list[Text], Field(min_length=1)] | None = None
    step: Step | None = None
    steps: Annotated[list[Step | StepRange], Field(min_length=1)] | None = None
    name: Text | None = None


class Plan(_Strict):
    """A sweep: which texts, which models, how.

    Attributes
    ----------
    models
        One entry a model or training; a plain string is a model with nothing else to say.
    texts, experiment, name
        Text set, experiment and name of the sweep's run.
    defaults
        Settings of every entry that does not say otherwise.
    """

    models: Annotated[list[ModelEntry | Text], Field(min_length=1)]
    texts: Text | None = None
    experiment: Text | None = None
    name: Text | None = None
    defaults: Settings = Settings()


def read_plan(path: str | os.PathLike[str]) -> tuple[Plan, str]:
    """A plan and its YAML as written.

    Raises
    ------
    InputError
        If the file is missing, is no YAML, repeats a key, has a key that plans do not know, or a
        value of the wrong kind; the sentence names the place.
    """
    shown = repr(os.fspath(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no plan {shown}; give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The plan {shown} cannot be read ({error}).") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"The plan {shown} is no valid YAML ({reason}).") from None
    if not isinstance(content, dict):
        raise InputError(
            f"The plan {shown} is no mapping; it needs at least a list of models under `models`."
        )
    return parse_plan(content, shown), text


def parse_plan(content: Mapping[str, Any], shown: str = "given") -> Plan:
    """A plan from plain Python values; see `read_plan`."""
    _refuse_unknown_keys(content, shown)
    try:
        return Plan.model_validate(dict(content))
    except ValidationError as error:
        first = _deepest(error)
        place = _place(first["loc"])
        raise InputError(
            f"The plan {shown} has {first['input']!r} at {place}: {_reason(first)}."
        ) from None


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_unknown_keys(content: Mapping[str, Any], shown: str) -> None:
    def check(part: Any, kind: type[BaseModel], place: str) -> None:
        if not isinstance(part, Mapping):
            return
        for key in part:
            if key not in kind.model_fields:
                raise InputError(
                    f"The plan {shown} has the unknown key {key!r}{place}; the keys there are "
                    f"{', '.join(kind.model_fields)}."
                )

    check(content, Plan, "")
    check(content.get("defaults"), Settings, " under defaults")
    models = content.get("models")
    for number, entry in enumerate(models if isinstance(models, list) else [], start=1):
        check(entry, ModelEntry, f" in model {number}")
        steps = entry.get("steps") if isinstance(entry, Mapping) else None
        for item in steps if isinstance(steps, list) else []:
            check(item, StepRange, f" in a range of steps of model {number}")


def _deepest(error: ValidationError) -> Any:
    """The problem that is most to the point: of a union's, the one furthest in."""
    return max(error.errors(), key=lambda e: (len(e["loc"]), e["type"] == "model_type"))


def _place(location: tuple[int | str, ...]) -> str:
    known = {*Plan.model_fields, *ModelEntry.model_fields, *StepRange.model_fields}
    words = []
    for part in location:
        if isinstance(part, int):
            words.append(f"number {part + 1}")
        elif part in known:
            words.append(part)
    return " ".join(words) or "the top"


def _reason(problem: Any) -> str:
    if problem["type"] == "missing":
        return f"the key {problem['loc'][-1]!r} is missing"
    if problem["type"] == "string_type":
        return "it must be text, so write it in quotes"
    if problem["type"] == "model_type":
        return "it must be text, or a mapping with the key `model`"
    message = problem["msg"]
    return message[0].lower() + message[1:]


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
        whole = entry if isinstance(entry, ModelEntry) else ModelEntry(model=entry)
        for request in _expanded(whole, plan.defaults, number, Path(folder)):
            key = (request.reference, request.settings, tuple(sorted(request.labels().items())))
            if key in seen:
                raise InputError(
                    f"The plan asks for {request.point_name!r} twice, in models {seen[key]} and "
                    f"{number}; drop one."
                )
            seen[key] = number
            made.append(request)
    return made


def _expanded(
    entry: ModelEntry, defaults: Settings, number: int, folder: Path
) -> Iterator[ScoreRequest]:
    def refuse(what: str) -> InputError:
        return InputError(f"Model {number} of the plan ({entry.model!r}) {what}.")

    for one, many in (
        ("revision", "revisions"),
        ("step", "steps"),
        ("precision", "precisions"),
    ):
        if getattr(entry, one) is not None and getattr(entry, many) is not None:
            raise refuse(f"has both {one} and {many}; give one of them")
    templates = (entry.model, entry.revision or "", *(entry.revisions or ()), entry.name or "")
    templated = any(STEP in text for text in templates[:-1])
    if entry.steps is not None and not templated:
        raise refuse(f"has steps, but no {STEP} in its model or revision, so all are the same")
    if entry.steps is None and entry.step is None and any(STEP in text for text in templates):
        raise refuse(f"has {STEP} in its name but no steps; list them under steps")
    values = {
        **defaults.model_dump(exclude_none=True),
        **entry.model_dump(exclude_none=True, include=set(Settings.model_fields)),
    }
    # What an entry says of its precision replaces both forms of the defaults.
    if entry.precision is not None:
        values.pop("precisions", None)
    elif entry.precisions is not None:
        values.pop("precision", None)
    elif "precision" in values and "precisions" in values:
        raise InputError("The plan's defaults have both precision and precisions; give one.")
    precisions = values.get("precisions") or [values.get("precision", "auto")]
    for revision in entry.revisions or (entry.revision,):
        for step in _steps(entry):
            for precision in precisions:
                try:
                    yield _request(entry, values, revision, step, precision, precisions, folder)
                except InputError as error:
                    raise InputError(f"Model {number} of the plan: {error}") from None


def _steps(entry: ModelEntry) -> list[int | None]:
    if entry.steps is None:
        return [entry.step]
    steps: list[int | None] = []
    for item in entry.steps:
        steps += item.steps() if isinstance(item, StepRange) else [item]
    return list(dict.fromkeys(steps))


def _request(
    entry: ModelEntry,
    values: Mapping[str, Any],
    revision: str | None,
    step: int | None,
    precision: str,
    precisions: list[str],
    folder: Path,
) -> ScoreRequest:
    def filled(text: str | None) -> str | None:
        if text is None:
            return None
        text = text.replace("{precision}", precision).replace("{revision}", revision or "main")
        return text if step is None else text.replace(STEP, str(step))

    def found(model: str) -> str:
        beside = folder / os.path.expanduser(model)
        return os.fspath(beside) if beside.is_dir() else model

    reference = ModelReference.parse(found(filled(entry.model) or ""), filled(revision))
    base_model = filled(values.get("base_model"))
    trajectory = values.get("trajectory")
    if trajectory is None and step is not None and reference.kind == HUB:
        trajectory = reference.name
    if trajectory is not None and len(precisions) > 1 and precision in QUANTISED:
        trajectory = f"{trajectory} {precision}"  # one trajectory holds one checkpoint a step
    chosen = {f.name: values[f.name] for f in fields(ScoringSettings) if f.name in values}
    if precision not in ("nf4", "fp4"):
        chosen.pop("double_quantization", None)
    return ScoreRequest(
        reference=reference,
        settings=ScoringSettings(**{**chosen, "precision": precision}),
        trajectory=filled(trajectory),
        step=step,
        model_type=values.get("model_type"),
        base_model=found(base_model) if base_model else None,
        name=filled(entry.name),
    )
