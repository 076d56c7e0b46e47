"""Figures: the model map to explore, as one HTML file that needs neither network nor server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pandas as pd

from mlflow_modelmap.figures.map.map import ColourBy
from mlflow_modelmap.figures.map.map_data import map_data
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened

STYLES = ("map_controls.css", "interactive_map.css")
SCRIPTS = (
    *("value_and_error.js", "log_ticks.js", "look.js", "hover_text.js", "map_names.js"),
    *("map_axes.js", "map_points.js", "map_drawing.js"),
    "interactive_map.js",
)

_NOTICE = 2_000
"""Characters of a notice."""


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

    data = map_data(points, nearest, explained=explained, colour_by=colour_by)
    data |= {
        "title": shortened(one_line(title)),
        "subtitle": shortened(one_line(subtitle), 400),
        "notices": [shortened(one_line(notice), _NOTICE) for notice in notices],
        "tsne": with_tsne,
    }
    parts = {
        "title": html.escape(shortened(one_line(title))),
        "style": "".join(map(_beside, STYLES)),
        "plotly": get_plotlyjs(),
        "data": _embedded(data),
        "script": "".join(map(_beside, SCRIPTS)),
    }
    # One pass: what is filled in is not searched for places to fill.
    template = _beside("interactive_map.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _beside(name: str) -> str:
    return files("mlflow_modelmap.figures.map").joinpath(name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON in which nothing can end a script element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
