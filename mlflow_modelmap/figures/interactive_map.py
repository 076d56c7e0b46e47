"""Figures: the model map to explore, as one HTML file that needs neither network nor server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map import (
    COORDINATES,
    WORDS,
    ColourBy,
    colour_column,
    paths,
    shades,
)

_NEAREST = 3
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


def interactive_map(
    points: pd.DataFrame,
    nearest: pd.DataFrame,
    *,
    title: str = "Model map",
    subtitle: str = "",
    explained: Sequence[float] = (),
    colour_by: ColourBy = "auto",
    with_tsne: bool = True,
    notices: Sequence[str] = (),
) -> str:
    """A page with the map in 2D and 3D, by t-SNE and PCA, that tells of each point on hover.

    Parameters
    ----------
    points
        As in ``points.parquet``, with the columns of `figures.map.COORDINATES`.
    nearest
        Columns point, rank, neighbour, kl, se (bits/byte); the first three of each are told.
    title, subtitle
        Above the map; the subtitle says how many texts of which text set.
    explained
        Each principal component's share of the variance.
    colour_by
        What the colours say at first.
    with_tsne
        Whether there is a t-SNE to switch to.
    notices
        Sentences shown above the map.

    Returns
    -------
    str
        HTML of about 5 MB, most of it plotly.js. It loads nothing, stores nothing, and treats
        every name as text, so that it works in a sandboxed frame and does no harm outside one.
    """
    from plotly.offline import get_plotlyjs

    folder = files("mlflow_modelmap.figures")
    data = _data(points, nearest, explained, colour_by)
    data |= {
        "title": _clean(title),
        "subtitle": _clean(subtitle),
        "notices": [_clean(notice) for notice in notices],
        "tsne": with_tsne,
    }
    parts = {
        "title": html.escape(_clean(title)),
        "style": folder.joinpath("interactive_map.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": _embedded(data),
        "script": folder.joinpath("interactive_map.js").read_text(encoding="utf-8"),
    }
    template = folder.joinpath("interactive_map.html").read_text(encoding="utf-8")
    # One pass: what is filled in is not searched for places to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _data(
    points: pd.DataFrame,
    nearest: pd.DataFrame,
    explained: Sequence[float],
    colour_by: ColourBy,
) -> dict[str, Any]:
    lines = paths(points)
    row = {name: k for k, name in enumerate(points["point"])}
    near: list[list[list[float]]] = [[] for _ in row]
    for found in nearest[nearest["rank"] <= _NEAREST].itertuples():
        near[row[found.point]].append(
            [row[found.neighbour], _rounded(found.kl), _rounded(found.se)]
        )
    colourings = _colourings(points)
    first = colour_column(points, colour_by)
    return {
        "names": [_clean(name) for name in points["point"]],
        "run_id": [_clean(run) for run in points["run_id"]],
        **{name: _labels(points[name]) for name in ("trajectory", "model_type", "precision")},
        **{name: _whole(points[name]) for name in ("step", "layer")},
        "bits_per_byte": [_rounded(value) for value in points["bits_per_byte"]],
        "shade": [round(float(value), 3) for value in shades(points, lines)],
        "coordinates": {
            f"{embedding}{dimensions}": [[_rounded(v) for v in points[c]] for c in columns]
            for (embedding, dimensions), columns in COORDINATES.items()
        },
        "explained": [_rounded(share) for share in explained],
        "paths": [{"name": _clean(n), "rows": rows.tolist()} for n, rows in lines.items()],
        "nearest": near,
        "colourings": colourings,
        "colouring": next((k for k, entry in enumerate(colourings) if entry["column"] == first), 0),
    }


def _colourings(points: pd.DataFrame) -> list[dict[str, Any]]:
    """What a reader may colour by: groups that occur, and bits per byte."""
    found: list[dict[str, Any]] = []
    for column, title in WORDS.items():
        labels = _labels(points[column])
        colours, markers = style.colours(labels), style.markers(labels)
        if colours or column == "model_type":
            found.append(
                {
                    "kind": "groups",
                    "column": column,
                    "title": title,
                    "groups": list(colours),
                    "colours": list(colours.values()),
                    "symbols": [_SYMBOLS[markers[name]] for name in colours],
                }
            )
    found.append({"kind": "scale", "column": "bits_per_byte", "title": style.BITS_PER_BYTE_LABEL})
    return found


def _labels(column: pd.Series) -> list[str | None]:
    return [_clean(value) if style.is_group(value) else None for value in column]


def _whole(column: pd.Series) -> list[int | None]:
    return [None if pd.isna(value) else int(value) for value in column]


def _rounded(value: Any) -> float:
    number = float(f"{float(value):.6g}")
    return number if np.isfinite(number) else 0.0


def _clean(text: object) -> str:
    """Text on one line, without control characters or what turns the writing direction around."""
    line = " ".join(str(text).split())
    line = re.sub("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", "", line)
    return line.encode("utf-8", "replace").decode("utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON in which nothing can end a script element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
