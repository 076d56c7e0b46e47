"""Driver: benchmark scores by point - from a table or from the runs, matched with points."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.pair.named_score import alike, matching, only_one
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.point import Point, finite
from mlflow_modelmap.tracking.runs.search import search_runs
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

NAME = "point"
_IDS_A_SEARCH = 100

Scores: TypeAlias = str | os.PathLike[str] | pd.DataFrame | Mapping[str, float]


def _of_file(given: Scores) -> str:
    return f" in {os.fspath(given)!r}" if isinstance(given, (str, os.PathLike)) else ""


def scores_in_table(
    given: Scores, points: Sequence[Point], columns: Sequence[str], notices: list[str]
) -> dict[str, np.ndarray]:
    """By column the score of each of K points, shape (K,), NaN where there is none.

    Parameters
    ----------
    given
        A CSV file or a frame with a column ``point`` (the name of a run or model, or a run id) and
        columns of numbers, or one number a name. An empty cell is no score.
    columns
        Which; by default all but ``point``.
    notices
        Is told which names are of no point.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing, a cell is no finite number, or a name
        stands for several points, or two rows for one.
    """
    header, rows = _cells(given)
    if not header or (header[0] != NAME and NAME not in header):
        raise InputError(
            f"The scores{_of_file(given)} have the columns {listed(header)} and none called "
            f"{NAME!r}; name the column that holds names of runs or models, or run ids, so."
        )
    twice = next((one for one in header if header.count(one) > 1), None)
    if twice is not None:
        raise InputError(f"The scores have two columns {twice!r}; give each its own name.")
    chosen = list(columns) or [one for one in header if one != NAME]
    for one in chosen:
        if one == NAME or one not in header:
            there = [column for column in header if column != NAME]
            raise InputError(
                f"The scores have no column {one!r} of numbers; choose of {listed(there, 8)}."
            )
    if not chosen:
        raise InputError(f"The scores have no column but {NAME!r}; add one of numbers.")
    place = _places(points)
    at, where = header.index(NAME), [header.index(one) for one in chosen]
    found = {one: np.full(len(points), np.nan) for one in chosen}
    named: dict[int, str] = {}
    unknown = []
    for cells in rows:
        name = cells[at].strip()
        index = _found(name, points, place)
        values = [_number(cells[k], header[k], name) for k in where]
        if index is None:
            unknown.append(name)
            continue
        if index in named:
            raise InputError(
                f"The scores have two rows for the point {points[index].name!r}, {named[index]!r} "
                f"and {name!r}; keep one."
            )
        named[index] = name
        for one, value in zip(chosen, values, strict=True):
            found[one][index] = value
    if not named:
        raise InputError(
            f"None of the {len(unknown)} names in the scores, such as {listed(unknown, 2)}, is "
            f"that of a selected point, such as {listed([p.name for p in points], 2)}; use the "
            "names of runs or models, or run ids."
        )
    if unknown:
        notices.append(
            "Rows of the scores that name no selected point were left out: "
            f"{listed([shortened(one, 60) for one in unknown])} (the nearest name there is "
            f"{alike(unknown[0], list(points))[0]!r}); correct the name, or score that model."
        )
    return found


def _cells(given: Scores) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and rows of as many cells."""
    if isinstance(given, pd.DataFrame):
        table = given.astype(object).where(given.notna(), "")
        return [str(one) for one in table.columns], table.astype(str).to_numpy().tolist()
    if isinstance(given, Mapping):
        return [NAME, "score"], [[str(name), str(value)] for name, value in given.items()]
    path = Path(given)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            read = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"The scores {str(path)!r} cannot be read ({why}); give a CSV file in UTF-8."
        ) from None
    if len(read) < 2:
        raise InputError(f"The scores {str(path)!r} hold no row below a header; add some.")
    header = [cell.strip() for cell in read[0]]
    for row in read[1:]:
        if len(row) != len(header):
            raise InputError(
                f"The row of {row[0]!r} in the scores {str(path)!r} has {len(row)} cells and the "
                f"header {len(header)}; give a cell a column."
            )
    return header, read[1:]


def _number(cell: str, column: str, name: str) -> float:
    """A finite number, or NaN for an empty cell."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(
            f"The score {shortened(cell, 60)!r} of {name!r} in the column {column!r} is no finite "
            "number; correct it, or leave the cell empty for a point that is to be predicted."
        )
    return value


def _places(points: Sequence[Point]) -> dict[str, int]:
    """Where the point of a name or of a run id is; ids of runs with several points are out."""
    ids: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        ids.setdefault(point.run_id, []).append(index)
    alone = {run_id: where[0] for run_id, where in ids.items() if len(where) == 1}
    steps = {f"{p.run_id}@{p.step}": k for k, p in enumerate(points) if p.step is not None}
    return {**alone, **steps, **{point.name: index for index, point in enumerate(points)}}


def _found(name: str, points: Sequence[Point], place: Mapping[str, int]) -> int | None:
    """The point that a name stands for; an InputError if it stands for several."""
    if not name:
        raise InputError("A row of the scores has no name; name its point, or remove it.")
    if name in place:
        return place[name]
    found = matching(name, list(points))
    found = found or [point for point in points if point.run_id == name]
    return place[only_one(name, found).name] if found else None


def scores_on_runs(
    points: Sequence[Point], metrics: Sequence[str], store: MlflowClient, notices: list[str]
) -> dict[str, np.ndarray]:
    """By metric the value that each point's run has logged, shape (K,), NaN where there is none.

    Checkpoints of a monitored training, and imported points, share one run, whose metrics are of
    none of them.

    Raises
    ------
    InputError
        If no run has such a metric.
    """
    values: dict[str, Mapping[str, float]] = {}
    of = {point.run_id: point.experiment_id for point in points if not point.one_of_many}
    experiments, ids = sorted(set(filter(None, of.values()))), list(of)
    for start in range(0, len(ids), _IDS_A_SEARCH):
        some = ", ".join(f"'{run_id}'" for run_id in ids[start : start + _IDS_A_SEARCH])
        for run in search_runs(experiments, f"attributes.run_id IN ({some})", store):
            values[run.info.run_id] = run.data.metrics
    if len(of) < len({point.run_id for point in points}):
        notices.append(
            "Metrics of monitored trainings and imported vectors are not taken, because a run "
            "holds several points; give their scores in a file."
        )
    found = {}
    for metric in metrics:
        numbers = (
            None if point.one_of_many else values.get(point.run_id, {}).get(metric)
            for point in points
        )
        checked = (None if v is None or math.isnan(v) else finite(v) for v in numbers)
        found[metric] = np.array([math.nan if v is None else v for v in checked])
        if np.isnan(found[metric]).all():
            there = sorted({name for one in values.values() for name in one})
            raise InputError(
                f"No selected run has the metric {metric!r}; choose of {listed(there, 8)}, or give "
                "scores in a file."
            )
    return found


def families(points: Sequence[Point], groups: str) -> np.ndarray:
    """The group of each point, as text, shape (K,).

    Parameters
    ----------
    groups
        ``model_type`` (the trajectory where a run does not say it), ``none`` for a group a point,
        or the name of a tag, with or without ``modelmap.``. A point without is a group by its
        model's name.

    Raises
    ------
    InputError
        If no point has that tag.
    """
    if groups == "none":
        return np.array([point.name for point in points], dtype=object)
    names: Iterable[str] = (groups, f"modelmap.{groups}")
    if groups == "model_type":
        names = ("modelmap.model_type", "modelmap.trajectory")
    found = [next((p.tags[n] for n in names if p.tags.get(n)), None) for p in points]
    if not any(found) and groups != "model_type":
        raise InputError(
            f"No selected run has the tag {groups!r}; set it, or group by model_type, trajectory, "
            "another tag or none."
        )
    return np.array([f or p.model for f, p in zip(found, points, strict=True)], dtype=object)
