"""Figures: a model map as plain data, which the interactive pages draw in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map.map import (
    COORDINATES,
    WORDS,
    ColourBy,
    colour_column,
    paths,
    shades,
)
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened

NEAREST = 3
# What Plotly calls the markers of `style.MARKERS`.
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "<": "triangle-left",
    ">": "triangle-right",
    "h": "hexagon",
}


def map_data(
    points: pd.DataFrame,
    nearest: pd.DataFrame,
    *,
    explained: Sequence[float] = (),
    colour_by: ColourBy = "auto",
) -> dict[str, Any]:
    """What ``map_drawing.js`` draws: names, coordinates, paths, nearest points and colourings.

    Parameters
    ----------
    points
        As in ``points.parquet``, with the columns of `figures.map.COORDINATES`.
    nearest
        Columns point, rank, neighbour, kl, se (bits/byte); the first three of each are told.
    explained
        Each principal component's share of the variance.
    colour_by
        What the colours say at first.

    Returns
    -------
    dict
        Lists and numbers that JSON can hold; one entry a point, in the order of `points`. Every
        text is on one line and without control characters, but not escaped.
    """
    # Gone through many times, which takes far longer in Arrow's memory than as Python's own texts.
    texts = [c for c in points.columns if isinstance(points[c].dtype, pd.StringDtype)]
    points = points.astype(dict.fromkeys(texts, object))
    lines = paths(points)
    row = {name: k for k, name in enumerate(points["point"])}
    if len(row) < len(points):
        raise ValueError("two points have one name")
    near: list[list[list[float]]] = [[] for _ in row]
    for found in nearest[nearest["rank"] <= NEAREST].itertuples():
        of = near[row[found.point]]
        if len(of) < NEAREST:
            of.append([row[found.neighbour], rounded(found.kl), rounded(found.se)])
    colourings = _colourings(points)
    first = colour_column(points, colour_by)
    return {
        "names": [_name(name) for name in points["point"]],
        "run_id": [_name(run) for run in points["run_id"]],
        **{name: _labels(points[name]) for name in ("trajectory", "model_type", "precision")},
        **{name: _whole(points[name]) for name in ("step", "layer")},
        "bits_per_byte": [rounded(value) for value in points["bits_per_byte"]],
        "shade": [round(float(value), 3) for value in shades(points, lines)],
        "coordinates": {
            f"{embedding}{dimensions}": [[rounded(v) for v in points[c]] for c in columns]
            for (embedding, dimensions), columns in COORDINATES.items()
            if set(columns) <= set(points.columns)  # t-SNE in 3D of many points is not made
        },
        "explained": [rounded(share) for share in explained],
        "paths": [{"name": _name(n), "rows": rows.tolist()} for n, rows in lines.items()],
        "nearest": near,
        "colourings": colourings,
        "colouring": next((k for k, entry in enumerate(colourings) if entry["column"] == first), 0),
    }


def _colourings(points: pd.DataFrame) -> list[dict[str, Any]]:
    """What a reader may colour by: groups that occur, and bits per byte."""
    found: list[dict[str, Any]] = []
    for column, title in WORDS.items():
        entry = groups_colouring(points[column], column, title)
        if entry["groups"] or column == "model_type":
            found.append(entry)
    found.append({"kind": "scale", "column": "bits_per_byte", "title": style.BITS_PER_BYTE_LABEL})
    return found


def groups_colouring(labels: Sequence[Any] | pd.Series, column: str, title: str) -> dict[str, Any]:
    """A colour and a marker for each distinct label, under the name of its column."""
    named = _labels(labels)
    colours, markers = style.colours(named), style.markers(named)
    return {
        "kind": "groups",
        "column": column,
        "title": title,
        "groups": list(colours),
        "colours": list(colours.values()),
        "symbols": [_SYMBOLS[markers[name]] for name in colours],
    }


def _labels(column: Sequence[Any] | pd.Series) -> list[str | None]:
    column = list(column)
    known: dict[Any, str | None] = {}
    for value in column:  # many points, few labels
        if value not in known:
            known[value] = _name(value) if style.is_group(value) else None
    return [known[value] for value in column]


def _name(value: Any) -> str:
    return shortened(one_line(value))


def _whole(column: pd.Series) -> list[int | None]:
    return [None if pd.isna(value) else int(value) for value in column]


def rounded(value: Any) -> float:
    """A number to six significant digits; 0 for what is not finite, which JSON cannot hold."""
    number = float(f"{float(value):.6g}")
    return number if np.isfinite(number) else 0.0
