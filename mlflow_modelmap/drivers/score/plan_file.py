"""Driver: the plan of a sweep - a strict YAML file."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from mlflow_modelmap.drivers.score.request import PointFields, TrainingFields
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import Precision, SettingsFields
from mlflow_modelmap.scoring.strict import (
    NOT_A_CHOICE,
    UNKNOWN,
    Step,
    Strict,
    Text,
    Whole,
    remedy,
    value_sentence,
    worst,
)
from mlflow_modelmap.words.near import perhaps
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shown import shown as shown_value


class StepRange(Strict):
    """Steps `start`, `start` + `every`, ... up to and with `stop`; a number is that one step."""

    start: Step = 0
    stop: Step
    every: Annotated[Whole, Field(ge=1)]

    @model_validator(mode="before")
    @classmethod
    def _of_one_step(cls, written: Any) -> Any:
        one = isinstance(written, int) and not isinstance(written, bool)
        return {"start": written, "stop": written, "every": 1} if one else written

    def steps(self) -> list[int]:
        """The steps themselves."""
        return list(range(self.start, self.stop + 1, self.every))


class PlanSettings(SettingsFields, TrainingFields):
    """What can be said for all models (under ``defaults``) or for one.

    A key without a value says nothing: `model_fields_set` holds what is said.
    """

    precisions: Annotated[list[Precision], Field(min_length=1)] | None = None
    int8_thresholds: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = (
        None
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        return {key: value for key, value in written.items() if value is not None}

    def said(self) -> dict[str, Any]:
        """What is said of those."""
        return self.model_dump(exclude_unset=True, include=set(PlanSettings.model_fields))


class ModelEntry(PlanSettings, PointFields):
    """One model, or one training with many checkpoints; a string is a model and no more."""

    model: Text
    revision: Text | None = None
    revisions: Annotated[list[Text], Field(min_length=1)] | None = None
    steps: Annotated[list[StepRange], Field(min_length=1)] | None = None
    name: Text | None = None
    base: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_string(cls, written: Any) -> Any:
        return {"model": written} if isinstance(written, str) else written


class Plan(Strict):
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

    models: Annotated[list[ModelEntry], Field(min_length=1)]
    texts: Text | None = None
    experiment: Text | None = None
    name: Text | None = None
    defaults: PlanSettings = PlanSettings()


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
        if Path(path).is_char_device():
            raise ValueError("it is a device")
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no plan {shown}; give the path of a YAML file.") from None
    except (OSError, ValueError) as error:  # no UTF-8, or a name with a NUL
        raise InputError(f"The plan {shown} cannot be read ({reason(error)}).") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except RecursionError:
        raise InputError(f"The plan {shown} is no valid YAML (nested too deeply).") from None
    except Exception as error:  # a value such as 2024-99-99 raises whatever Python makes of it
        raise InputError(f"The plan {shown} is no valid YAML ({reason(error)}).") from None
    if content is None:
        raise InputError(f"The plan {shown} is empty; {_LEAST}.")
    if not isinstance(content, dict):
        raise InputError(f"The plan {shown} is no mapping; {_LEAST}.")
    return parse_plan(content, shown), text


def parse_plan(content: Mapping[str, Any], shown: str = "given") -> Plan:
    """A plan from plain Python values; see `read_plan`."""
    try:
        return Plan.model_validate(dict(content))
    except ValidationError as error:
        raise InputError(_refusal(worst(error), shown)) from None


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {shown_value(key)} is a {type(key).__name__}, and keys are words",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_LEAST = "it needs at least a list of models, such as `models: [org/name]` (docs/sweep.md)"
_PARTS: dict[str, type[Strict]] = {
    "defaults": PlanSettings,
    "models": ModelEntry,
    "steps": StepRange,
}


def _refusal(problem: Any, shown: str) -> str:
    """What is wrong with a plan, and where."""
    *where, last = problem["loc"]
    if problem["type"] in UNKNOWN:
        part = next((_PARTS[word] for word in reversed(where) if word in _PARTS), Plan)
        return (
            f"The plan {shown} has the unknown key {last!r}{_inside(where)}; the keys there are "
            f"{', '.join(part.model_fields)}{_elsewhere(last, part)}."
        )
    if problem["type"] == NOT_A_CHOICE:
        whose = "The plan's defaults"
        if where[0] == "models":
            whose = f"Model {where[1] + 1} of the plan"
        name = "precision" if isinstance(last, int) else last
        return f"{whose}: {value_sentence(name, problem)}"
    if problem["type"] == "too_short" and last == "models":
        return f"The plan {shown} names no model; {_LEAST}."
    place = " ".join(f"number {p + 1}" if isinstance(p, int) else p for p in problem["loc"])
    return f"The plan {shown} has {shown_value(problem['input'])} at {place}: {_remedy(problem)}."


def _elsewhere(key: int | str, part: type[Strict]) -> str:
    """Where a key has its place, or which one may be meant."""
    if part is not PlanSettings and key in PlanSettings.model_fields:
        return f"; {key} of all models stands under defaults"
    if part is not ModelEntry and key in ModelEntry.model_fields:
        return f"; {key} stands with a model"
    if part is not Plan and key in Plan.model_fields:
        return f"; {key} stands at the top of the plan"
    return perhaps(key, part.model_fields)


def _inside(where: Sequence[int | str]) -> str:
    """In which part of a plan a key stands."""
    if not where:
        return ""
    if where[0] == "defaults":
        return " under defaults"
    range_of_steps = "a range of steps of " if "steps" in where else ""
    return f" in {range_of_steps}model {int(where[1]) + 1}"


def _remedy(problem: Any) -> str:
    if problem["type"] == "missing":
        return f"the key {problem['loc'][-1]!r} is missing"
    if problem["type"] == "string_type":
        return "it must be text, so write it in quotes"
    if problem["type"] == "model_type" and "steps" in problem["loc"]:
        return "it must be a whole number, or a mapping with the keys start, stop and every"
    if problem["type"] == "model_type" and problem["loc"][0] == "models":
        return "it must be text, or a mapping with the key `model`"
    return remedy(problem)
