"""Figures: one trajectory as a line through its points, and the rows that it takes of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from mlflow_modelmap.figures import style


def rows_by_name(points: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """For each trajectory the row positions of its points, by step."""
    found = {}
    for name in names:
        own = np.flatnonzero((points["trajectory"] == name).to_numpy())
        found[name] = own[np.argsort(points["step"].to_numpy(dtype=float)[own], kind="stable")]
    return found


def draw_path(axes: Axes, path: np.ndarray, colour: str, size: float = 14) -> None:
    """A line through points in order, shape (n, 2), fading to early, its last point outlined."""
    shade = style.fade(colour, np.linspace(0, 1, len(path)))
    segments = list(np.stack([path[:-1], path[1:]], axis=1))
    axes.add_collection(LineCollection(segments, colors=shade[1:], linewidths=1.0, zorder=2))
    axes.scatter(*path.T, s=size, c=shade, linewidths=0, zorder=3)
    axes.scatter(*path[-1], s=3 * size, c=[colour], edgecolors=style.INK, linewidths=0.9, zorder=4)
