"""Driver: what a file says of vectors, points and texts can be so, or is refused in a sentence."""

from __future__ import annotations

import contextlib
import posixpath
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.exchange.in_file import NUMBERS, WHOLE, VectorsInFile
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.largest_sizes import (
    LARGEST_LOG_LIKELIHOOD,
    LARGEST_STEP,
    LARGEST_TEXT,
    LARGEST_WEIGHT,
)
from mlflow_modelmap.tracking.runs.vector_table import ROUNDING
from mlflow_modelmap.tracking.runs.vectors_points import OWN, is_said
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

_TAG = re.compile(r"[\w .:/-]{1,250}")


def checked(held: VectorsInFile, path: Path) -> VectorsInFile:
    """What a file holds, if every number of it can be what it says.

    Raises
    ------
    InputError
        Which names the file and the point or text.
    """
    where = f"the file {shortened(str(path))!r}"
    if held.values.ndim != 2 or not held.values.size:
        raise InputError(f"There are no vectors in {where}; give one a point, of as many texts.")
    if held.values.shape[0] != len(held.points):
        raise InputError(
            f"There are {held.values.shape[0]} vectors and {len(held.points)} names in {where}; "
            "give each vector one name."
        )
    check_names(held.points["point"].tolist(), path)
    odd = [name for name in held.points.columns if not is_tag_name(name)]
    if odd:
        raise InputError(
            f"The column {shortened(odd[0], 60)!r} of {where} is no name that MLflow takes for a "
            "tag; use letters, digits, spaces and _ - . : only, and / between them."
        )
    _check_values(held, where)
    _check_texts(held, where)
    points = _typed(held.points, where)
    left_out = [name for name in points.columns if name not in OWN and not is_said(name)]
    if not left_out:
        return replace(held, points=points)
    notice = (
        f"The columns {listed(left_out, 5)} are left out: names that begin so belong to MLflow or "
        "to this plugin."
    )
    return replace(held, points=points.drop(columns=left_out), notices=(*held.notices, notice))


def is_tag_name(name: str) -> bool:
    """Whether MLflow takes it for the name of a tag."""
    plain = posixpath.normpath(name) == name and name != "." and not name.startswith(("/", ".."))
    return plain and _TAG.fullmatch(name) is not None


def _typed(points: pd.DataFrame, where: str) -> pd.DataFrame:
    """The columns as what they are: whole numbers, numbers, or texts; those that say nothing go."""
    columns: dict[str, Any] = {"point": points["point"].tolist()}
    for name in points.columns.drop("point"):
        column = points[name]
        if name in WHOLE:
            columns[name] = _whole_numbers(column, name, where)
        elif name in NUMBERS:
            columns[name] = _numbers(column, name, where)
        else:
            held = column.astype(object).where(column.notna(), None)
            texts = [None if cell is None or str(cell) == "" else str(cell) for cell in held]
            columns[name] = pd.array(texts, dtype="string")
    typed = pd.DataFrame(columns)
    return typed[[name for name in typed.columns if name == "point" or typed[name].notna().any()]]


def _whole_numbers(column: pd.Series, name: str, where: str) -> Any:
    low = 0 if name == "layer" else -LARGEST_STEP
    found = [_as_whole(cell) for cell in column]
    for at, number in enumerate(found):
        if number is not None and not low <= number <= LARGEST_STEP:  # of NaN too
            raise InputError(
                f"The {name} of point {at} in {where} is {shortened(str(column.iloc[at]), 60)!r}; "
                f"give a whole number{' from 0 on' if low == 0 else ''}, or none."
            )
    return pd.array(found, dtype="Int64")


def _as_whole(cell: Any) -> int | float | None:
    """A cell as the whole number that it says, in whatever type; None for none, NaN for no such."""
    if pd.isna(cell) or cell == "":
        return None
    if isinstance(cell, bool | np.bool_) or "_" in str(cell):
        return np.nan
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if isinstance(cell, str) or int(cell) == cell:
            return int(cell)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(cell)  # of "3.0" and "1e3"
        return int(number) if number.is_integer() else np.nan
    return np.nan


def _numbers(column: pd.Series, name: str, where: str) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = column.notna().to_numpy() & ~((numbers >= 0) & (numbers < np.inf))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"The {name} of point {at} in {where} is {shortened(str(column.iloc[at]), 60)!r}; give "
            "a number from 0 on, or none."
        )
    return numbers


def check_names(names: list[object], path: Path) -> None:
    """Refuse names of points that are none, too long or there twice.

    Raises
    ------
    InputError
    """
    where = f"the file {shortened(str(path))!r}"
    seen = set()
    for at, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or len(name) > 1_000:
            raise InputError(
                f"Point {at} of {where} has the name {shortened(repr(name), 60)}; give each point "
                "a name of at most 1,000 characters."
            )
        if name in seen:
            raise InputError(
                f"Two points of {where} have the name {shortened(name, 100)!r}; give each its own."
            )
        seen.add(name)


def _check_values(held: VectorsInFile, where: str) -> None:
    values, names = held.values, held.points["point"].tolist()
    wrong = ~(np.abs(values) <= LARGEST_LOG_LIKELIHOOD)  # of NaN too
    if wrong.any():
        at, text = np.argwhere(wrong)[0]
        points = int(wrong.any(axis=1).sum())
        raise InputError(
            f"The log-likelihood of text {text} of {shortened(names[at], 100)!r} in {where} is "
            f"{values[at, text]} ({points} of {len(names)} points have such values); leave out the "
            "points that have, or give finite numbers in nats."
        )
    tokens = 0 if held.scored_tokens is None else held.scored_tokens
    above = values > ROUNDING * (1 + np.asarray(tokens))
    if above.any():
        at, text = np.argwhere(above)[0]
        raise InputError(
            f"The log-likelihood of text {text} of {shortened(names[at], 100)!r} in {where} is "
            f"{values[at, text]:g}, above 0, which no probability gives; give log-likelihoods, not "
            "losses."
        )


def _check_texts(held: VectorsInFile, where: str) -> None:
    texts = held.values.shape[1]
    for name in ("bytes", "scored_tokens", "weights", "documents"):
        given = getattr(held, name)
        if given is None:
            continue
        if given.shape != (texts,):
            raise InputError(
                f"The {name} in {where} have the shape {given.shape}, but there are {texts} texts; "
                "give one a text."
            )
        low, most = {
            "bytes": (1, LARGEST_TEXT),
            "scored_tokens": (0, LARGEST_TEXT),
            "weights": (np.nextafter(0, 1), LARGEST_WEIGHT),
            "documents": (-1, texts - 1),
        }[name]
        wrong = ~((given >= low) & (given <= most))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(
                f"The {name} of text {at} in {where} are {given[at]}, not between {low:g} and "
                f"{most:g}; correct them."
            )
    if held.text_set is not None and not _is_digest(held.text_set):
        raise InputError(
            f"The digest of the text set in {where} is {shortened(held.text_set, 80)!r}, not the "
            "64 hexadecimal digits of a SHA-256; leave it out and give the texts (--texts)."
        )


def _is_digest(written: str) -> bool:
    return len(written) == 64 and set(written) <= set("0123456789abcdef")
