"""Driver: points that are one model under several prompts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

OWN = "its own template"
"""Where the user put nothing: the model's own chat template, if it has one."""
AUTO = "auto"

Prompt = tuple[str, str]
"""A system's message and a template, each "" where there is none of the user's."""
NO_PROMPT: Prompt = ("", "")


@dataclass(frozen=True)
class PromptedModel:
    """One model, under one prompt or several.

    Attributes
    ----------
    name
        Unique among the models.
    points
        Row of each prompt's point.
    """

    name: str
    points: dict[Prompt, int]


def prompt_of(point: Point) -> Prompt:
    """What its prompts were under; of a run that others wrote, what its tag says."""
    said = {**schema.PROMPTED, **point.prompted}
    template = said["modelmap.template"]
    system = said["modelmap.system_prompt"]
    if not any(name in point.prompted for name in schema.PROMPTED):
        return (point.tags.get(schema.TAG_PROMPT) or "", "")
    return (system, "" if template == AUTO else template)


def prompt_names(prompts: Sequence[Prompt]) -> dict[Prompt, str]:
    """A name for each of several prompts, short and unlike the others'."""
    names: dict[Prompt, str] = {}
    for prompt in prompts:
        system, template = prompt
        parts = [shortened(" ".join(system.split()), 60)] if system else []
        parts += [f"template {shortened(os.path.basename(template), 40)}"] if template else []
        first = name = "; ".join(parts) or OWN
        again = 1
        while name in names.values():
            again += 1
            name = f"{first} ({again})"
        names[prompt] = name
    return names


def prompted_models(points: Sequence[Point], notices: list[str]) -> list[PromptedModel]:
    """The models among points, each with its prompts, in the order of the points.

    A model is what has one name, revision, commit, adapter, precision and engine, and was scored
    with the end of the turn or without. Of several points under one prompt the first is taken.
    """
    found: dict[_Key, dict[Prompt, int]] = defaultdict(dict)
    again = []
    for index, point in enumerate(points):
        prompts = found[_key(point)]
        if prompts.setdefault(prompt_of(point), index) != index:
            again.append(point.name)
    if again:
        notices.append(
            f"Points of a model and prompt that another point has already were left out: "
            f"{listed(again, 5)}."
        )
    names = _names(list(found))
    return [PromptedModel(name, found[key]) for key, name in names.items()]


def chosen_prompt(given: str | None, names: dict[Prompt, str]) -> Prompt:
    """The prompt that shifts are from: by its name or its whole text; the model's own by default.

    Raises
    ------
    InputError
        If none is called so.
    """
    if given is None:
        return NO_PROMPT
    if (given, "") in names:
        return (given, "")
    wanted = " ".join(given.split())
    for prompt, name in names.items():
        if wanted in (name, " ".join(prompt[0].split()) if not prompt[1] else name):
            return prompt
    raise InputError(
        f"No selected run is under the prompt {shortened(given)!r}; choose of "
        f"{listed(list(names.values()), 8)}."
    )


class _Key(NamedTuple):
    """What makes points one model; of models of one name the first of these that differ tell."""

    model: str
    revision: str | None
    precision: str | None
    step: str | None
    adapter: str | None
    int8_threshold: str | None
    engine: str | None
    end_of_turn: str
    commit: str | None


def _key(point: Point) -> _Key:
    return _Key(
        point.model,
        point.revision,
        point.precision,
        None if point.step is None else str(point.step),
        point.tags.get(schema.TAG_ADAPTER),
        point.tags.get(schema.TAG_INT8_THRESHOLD),
        point.tags.get(schema.TAG_ENGINE),
        {**schema.PROMPTED, **point.prompted}["modelmap.end_of_turn"],
        point.commit,
    )


def _names(keys: Sequence[_Key]) -> dict[_Key, str]:
    """A name for each model: the last part of its own, and what tells it from others of that."""
    names: dict[_Key, str] = {}
    for key in keys:
        same = [other for other in keys if _last(other.model) == _last(key.model)]
        name = _last(key.model)
        for field in (*_Key._fields[1:-1], "commit", "model"):
            if len({getattr(other, field) for other in same}) > 1:
                told = shortened(getattr(key, field) or "-", 40)
                name += f" ({'end of turn ' if field == 'end_of_turn' else ''}{told})"
                same = [other for other in same if getattr(other, field) == getattr(key, field)]
        names[key] = name
    return names


def _last(model: str) -> str:
    return os.path.basename(model.rstrip("/")) or model
