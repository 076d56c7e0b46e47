"""Figures: names beside points, where they cover neither a point nor another name."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from mlflow_modelmap.figures import style


def label_points(axes: Axes, x: np.ndarray, y: np.ndarray, names: Any, size: float = 7.5) -> None:
    """Write names beside points where they cover neither a point nor another name; None is none."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    unit = figure.dpi / 72.0
    dots = axes.transData.transform(np.column_stack([x, y])) / unit
    box = axes.get_window_extent()
    left, low, right, high = (v / unit for v in (box.x0, box.y0, box.x1, box.y1))
    taken = [(px - 3.0, py - 3.0, px + 3.0, py + 3.0) for px, py in dots]
    for (px, py), name in zip(dots, names, strict=True):
        if name is None:
            continue
        text = style.plain(name, 44)
        width, height = 0.6 * size * _letters(text), 1.2 * size
        for dx, dy, across in (
            (6, -height / 2, "left"),
            (-6, -height / 2, "right"),
            (0, 5, "center"),
            (0, -5 - height, "center"),
            (5, 4, "left"),
            (5, -4 - height, "left"),
            (-5, 4, "right"),
            (-5, -4 - height, "right"),
        ):
            x0 = px + dx - {"left": 0.0, "center": width / 2, "right": width}[across]
            here = (x0, py + dy, x0 + width, py + dy + height)
            inside = left <= here[0] and here[2] <= right and low <= here[1] and here[3] <= high
            if inside and not any(_overlap(here, other) for other in taken):
                taken.append(here)
                note = axes.annotate(
                    text,
                    (px * unit, py * unit),
                    xycoords="figure pixels",
                    xytext=(dx, dy),
                    textcoords="offset points",
                    ha=across,
                    va="bottom",
                    fontsize=size,
                    color=style.INK,
                    zorder=4,
                )
                note.set_in_layout(False)
                note.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
                # The picture may be saved at another resolution than it was laid out at.
                note.xy = tuple(axes.transData.inverted().transform((px * unit, py * unit)))
                note.xycoords = "data"
                break


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _letters(text: str) -> float:
    """How many letters of usual width a text is as wide as; those of East Asia count double."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + 0.8 * wide
