"""Driver: what imported points are called, and what is said of them beside their file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from mlflow_modelmap.drivers.exchange.in_file import VectorsInFile, path_of, reading
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.tracking.runs.largest_sizes import TEXT
from mlflow_modelmap.words.shortened import shortened

_SEED = re.compile(r"seed(\d+)$")


@dataclass(frozen=True)
class Labels:
    """What holds for all points of a file, as far as the file does not say it.

    Attributes
    ----------
    model_format
        What models are called, ``{}`` for a name in the file: ``EleutherAI/pythia-{}``.
    revision_format
        What the revision of a training step is called, ``{}`` for the step: ``step{}``.
    precision, model_type
        Of all.
    seed
        The tag ``seed`` of points whose model's name does not end in ``seed`` and a number; with
        it, or where a name ends so, points have that tag.
    types
        Model types by name.
    parents
        The parents of each name; one that is alone becomes its base model.
    """

    model_format: str | None = None
    revision_format: str | None = None
    precision: str | None = None
    model_type: str | None = None
    seed: str | None = None
    types: Mapping[str, str] | None = None
    parents: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        for name, given in (("model", self.model_format), ("revision", self.revision_format)):
            if given is not None and given.count("{}") != 1:
                raise InputError(
                    f"The format {shortened(given, 100)!r} of a {name} has no single {{}} for what "
                    "differs; write it as EleutherAI/pythia-{} or step{}."
                )

    def of(self, held: VectorsInFile) -> VectorsInFile:
        """The points of a file with these labels; `notices` say for which there are none."""
        points = held.points.copy()
        said = points["model"] if "model" in points else points["point"]
        in_file = said.where(said.notna(), points["point"]).astype(str).tolist()
        notices = list(held.notices)
        models = [self._model(name) for name in in_file]
        if held.named and "model" in points:
            models = in_file
        points["model"] = pd.array(models, dtype="string")
        trajectories = _trajectories(points, models)
        if "step" in points:
            _fill(points, "trajectory", trajectories)
        if not held.named:
            points["point"] = self._names(points["point"], in_file, models, trajectories)
        for column, value in (("precision", self.precision), ("model_type", self.model_type)):
            if value is not None:
                _fill(points, column, [value] * len(points))
        if self.types is not None:
            _fill(points, "model_type", _found(self.types, in_file, models))
            without = int(points["model_type"].isna().sum())
            if without:
                notices.append(f"No type is given for {without} of {len(points)} points.")
        if self.parents is not None:
            _fill(points, "base_model", self._bases(in_file, models))
        seeds = [_SEED.search(model) for model in models]
        if self.seed is not None or (not held.named and any(seeds)):
            _fill(points, "seed", [found[1] if found else self.seed for found in seeds])
        if self.revision_format is not None and "step" in points:
            form = self.revision_format
            revisions = [None if pd.isna(s) else form.replace("{}", str(s)) for s in points["step"]]
            _fill(points, "revision", revisions)
        kept = [name for name in points if name == "point" or points[name].notna().any()]
        return replace(held, points=points[kept], notices=tuple(notices))

    def _model(self, name: str) -> str:
        return name if self.model_format is None else self.model_format.replace("{}", name)

    def _names(
        self,
        points: Sequence[str],
        in_file: Sequence[str],
        models: Sequence[str],
        trajectories: Sequence[str | None],
    ) -> list[str]:
        """Names as scores made here have them, where those in the file are keys."""
        quantised = self.precision is not None and is_quantised(self.precision)
        names = []
        rows = zip(points, in_file, models, trajectories, strict=True)
        for point, given, model, trajectory in rows:
            name = (trajectory or model) + point.removeprefix(given)
            names.append(f"{name} {self.precision}" if quantised else name)
        return names

    def _bases(self, in_file: Sequence[str], models: Sequence[str]) -> list[str | None]:
        found = _found(self.parents or {}, in_file, models)
        alone = [parents[0] if parents and len(parents) == 1 else None for parents in found]
        return [None if parent is None else self._model(parent) for parent in alone]


def trajectory_names(models: Iterable[str], taken: Iterable[tuple[str, str]] = ()) -> list[str]:
    """What the training of each model is called: its name without its owner's.

    Where another model has the same last part, it is the whole name.

    Parameters
    ----------
    models
        By their names.
    taken
        Trajectories that are named already, and a model of each.
    """
    models = list(models)
    of: dict[str, set[str]] = {}
    for last, model in (*((_last(model), model) for model in models), *taken):
        of.setdefault(last, set()).add(model)
    return [_last(model) if of[_last(model)] == {model} else model for model in models]


def _last(model: str) -> str:
    return model.rpartition("/")[2] or model


def _trajectories(points: pd.DataFrame, models: Sequence[str]) -> list[str | None]:
    """The trajectory of each point with a step; that of others is None."""
    none = pd.Series(pd.NA, index=points.index)
    steps = points.get("step", none)
    said = points.get("trajectory", none)
    named = [None if pd.isna(one) else str(one) for one in said]
    own = [k for k, step in enumerate(steps) if named[k] is None and not pd.isna(step)]
    taken = [(name, model) for name, model in zip(named, models, strict=True) if name is not None]
    for k, name in zip(own, trajectory_names((models[k] for k in own), taken), strict=True):
        named[k] = name
    return [None if pd.isna(step) else name for step, name in zip(steps, named, strict=True)]


def _fill(points: pd.DataFrame, column: str, values: Sequence[Any]) -> None:
    """Say in a column what it does not say itself."""
    new = pd.Series(pd.array(list(values), dtype="string"), index=points.index)
    if column in points:
        new = points[column].astype("string").fillna(new)
    points[column] = new.array


def _found(of: Mapping[str, Any], in_file: Sequence[str], models: Sequence[str]) -> list[Any]:
    """What is said of each point, by its name in the file or by its model."""
    return [of.get(name, of.get(model)) for name, model in zip(in_file, models, strict=True)]


def read_names(file: str | PathLike[str]) -> list[str]:
    """Names in order: a JSON list of texts, or one a line.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    path = path_of(file, TEXT)
    with reading(path, "list of names"):
        text = path.read_text(encoding="utf-8-sig")
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong or not names:
        shown = shortened(repr(wrong[0]), 60) if wrong else "nothing"
        raise InputError(
            f"The file {shortened(str(path))!r} holds {shown} where names are due; give a JSON "
            "list of names, or one a line."
        )
    return names


def read_types(file: str | PathLike[str]) -> dict[str, str]:
    """Model types by name, from a JSON object such as the authors' ``modelname2type.json``.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    found = _read_object(file)
    for name, value in found.items():
        if not isinstance(value, str):
            raise InputError(
                f"The type of {shortened(name, 60)!r} in {shortened(str(file))!r} is "
                f"{shortened(repr(value), 60)}; give texts."
            )
    return found


def read_parents(file: str | PathLike[str]) -> dict[str, list[str]]:
    """Parents by name, from a JSON object such as the authors' ``sibling_info.json``.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    found = {}
    for name, value in _read_object(file).items():
        parents = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(parents, list) or not all(isinstance(p, str) for p in parents):
            raise InputError(
                f"The parent of {shortened(name, 60)!r} in {shortened(str(file))!r} is "
                f"{shortened(repr(value), 60)}; give null, a name or a list of names."
            )
        found[name] = parents
    return found


def read_steps(file: str | PathLike[str]) -> list[int]:
    """Training steps in order: a JSON list of whole numbers, or one a line.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    path = path_of(file, TEXT)
    with reading(path, "list of steps"):
        text = path.read_text(encoding="utf-8-sig")
        steps = json.loads(text) if text.lstrip().startswith("[") else text.split()
        found = [int(step) for step in steps]
    if not found or any(isinstance(s, float) for s in steps) or sorted(set(found)) != found:
        raise InputError(
            f"The file {shortened(str(path))!r} holds no ascending whole numbers; give the step of "
            "each row, as a JSON list or one a line."
        )
    return found


def _read_object(file: str | PathLike[str]) -> dict[str, Any]:
    path = path_of(file, TEXT)
    with reading(Path(path), "JSON object"):
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, dict):
        raise InputError(
            f"The file {shortened(str(path))!r} holds no JSON object by name; give one as "
            '{"name": ...}.'
        )
    return found
