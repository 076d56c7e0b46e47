"""Figures: the model map in two dimensions - points by group, trajectories as fading lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.labels import label_points

Embedding = Literal["tsne", "pca"]
KLOf = Callable[[np.ndarray, np.ndarray], np.ndarray]
ColourBy = Literal["auto", "model_type", "trajectory", "precision"]

COORDINATES: dict[tuple[str, int], tuple[str, ...]] = {
    ("pca", 2): ("pca_1", "pca_2"),
    ("pca", 3): ("pca_1", "pca_2", "pca_3"),
    ("tsne", 2): ("tsne2_1", "tsne2_2"),
    ("tsne", 3): ("tsne3_1", "tsne3_2", "tsne3_3"),
}
"""The columns of the points table that hold each embedding."""
WORDS = {"model_type": "model type", "trajectory": "trajectory", "precision": "precision"}

TITLE = "Which points are alike? Close points give the texts similar probabilities"

_LABELLED = 30
_LEGEND_WIDTH = 2.3


def paths(points: pd.DataFrame) -> dict[str, np.ndarray]:
    """The lines of a map: for each trajectory of two or more points, their rows by step.

    A model's layers are a path too. Copies of a trajectory in another precision are a path of
    their own, so that no line runs to and fro between them.

    Parameters
    ----------
    points
        Columns point, trajectory, step, precision, layer, run_id, as in ``points.parquet``.

    Returns
    -------
    dict of str to ndarray of int
        Row positions in order, by the path's name.
    """
    keys: list[tuple[str, str] | None] = []
    orders: list[float] = []
    for row in points.itertuples(index=False):
        layer, step = getattr(row, "layer", None), getattr(row, "step", None)
        if not _missing(layer):
            name = str(row.point).removesuffix(f" layer {layer}")
            keys.append((name, str(row.run_id)))
            orders.append(float(layer))  # type: ignore[arg-type]
        elif style.is_group(row.trajectory) and not _missing(step):
            keys.append((str(row.trajectory), str(getattr(row, "precision", ""))))
            orders.append(float(step))  # type: ignore[arg-type]
        else:
            keys.append(None)
            orders.append(np.nan)
    rows: dict[tuple[str, str], list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            rows.setdefault(key, []).append(index)
    rows = {key: members for key, members in rows.items() if len(members) > 1}
    alone = pd.Series([name for name, _ in rows]).value_counts()
    return {
        name if alone[name] == 1 else f"{name} ({other})": np.array(
            sorted(members, key=lambda index: orders[index])
        )
        for (name, other), members in rows.items()
    }


def shades(points: pd.DataFrame, lines: dict[str, np.ndarray]) -> np.ndarray:
    """How far along its path each point is, 0 (first) to 1; 1 for points on no path."""
    share = np.ones(len(points))
    for members in lines.values():
        share[members] = np.linspace(0.0, 1.0, len(members))
    return share


def colour_column(points: pd.DataFrame, colour_by: ColourBy = "auto") -> str | None:
    """Which column colours the points; ``auto``: the first that tells some apart."""
    if colour_by != "auto":
        return colour_by
    for column in ("trajectory", "model_type", "precision"):
        if len(style.groups(points[column])) > 1:
            return column
    for column in ("trajectory", "model_type"):
        if style.groups(points[column]):
            return column
    return None


def map_figure(
    points: pd.DataFrame,
    embedding: Embedding = "tsne",
    *,
    colour_by: ColourBy = "auto",
    title: str = TITLE,
    said: str = "",
    explained: tuple[float, ...] = (),
    kl: np.ndarray | KLOf | None = None,
) -> Figure:
    """Points of a model map in two dimensions (Figures 1 and 2).

    Parameters
    ----------
    points
        As in ``points.parquet``: names, trajectories, steps, model types and the columns of
        `COORDINATES`.
    embedding
        ``tsne`` or ``pca``.
    colour_by
        Column whose groups have colours.
    title
        Above, at the left.
    said
        Below: of how many points and texts, say.
    explained
        Each principal component's share of the variance.
    kl
        KL divergence in bits/byte, shape (K, K), or what gives it for two arrays of rows: lines
        are the thicker the larger it is between the points they join.

    Returns
    -------
    Figure
    """
    column = colour_column(points, colour_by)
    labels = points[column] if column else pd.Series([None] * len(points))
    colours, markers = style.colours(labels), style.markers(labels)
    has_legend = len(colours) > 1 or (bool(colours) and labels.isna().any())
    figure = style.figure(6.4 + (_LEGEND_WIDTH if has_legend else 0.0), 5.6)
    axes = style.panel(figure)
    x, y = (points[name].to_numpy(dtype=float) for name in COORDINATES[embedding, 2])
    lines = paths(points)
    shade = shades(points, lines)
    # Where nothing tells points apart, grey would stand for nothing.
    colour = [style.colour_of(label, colours) if colours else style.PALETTE[0] for label in labels]
    _draw_lines(axes, x, y, lines, shade, colour, kl)
    ends = np.array([members[-1] for members in lines.values()], dtype=int)
    size = np.full(len(points), _dot(len(points)))
    size[ends] *= 2.0
    edge = np.zeros(len(points), dtype=bool)
    edge[ends] = True
    marker = np.array(
        [markers.get(str(label), "o") if style.is_group(label) else "o" for label in labels]
    )
    faded = np.array([style.fade(c, s) for c, s in zip(colour, shade, strict=True)])
    for shape in np.unique(marker):
        chosen = np.flatnonzero(marker == shape)
        axes.scatter(
            x[chosen],
            y[chosen],
            s=size[chosen],
            c=faded[chosen],
            marker=shape,
            edgecolors=[style.INK if e else "white" for e in edge[chosen]],
            linewidths=[0.9 if e else 0.4 for e in edge[chosen]],
            zorder=3,
        )
    _name_axes(axes, embedding, explained)
    headline(figure, title, _reading(bool(lines), kl is not None, said))
    if has_legend:
        style.legend(
            axes,
            colours,
            markers=markers,
            title=WORDS.get(column or "", column),
            lines=bool(lines),
            labels=labels,
        )
    axes.margins(0.08)
    if len(points) <= _LABELLED and not lines:
        label_points(axes, x, y, called(points))
    return figure


def _draw_lines(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    lines: dict[str, np.ndarray],
    shade: np.ndarray,
    colour: list[str],
    kl: np.ndarray | KLOf | None,
) -> None:
    if not lines:
        return
    start = np.concatenate([members[:-1] for members in lines.values()])
    end = np.concatenate([members[1:] for members in lines.values()])
    width = np.full(len(start), 1.0)
    if kl is not None:
        size = np.sqrt(kl(start, end) if callable(kl) else np.asarray(kl)[start, end])
        width = 0.6 + 3.4 * np.minimum(size / max(float(size.max()), 1e-300), 1.0)
    axes.add_collection(
        LineCollection(
            list(np.stack([np.stack([x[start], y[start]], 1), np.stack([x[end], y[end]], 1)], 1)),
            colors=[style.fade(colour[k], shade[k]) for k in end],
            linewidths=width,
            capstyle="round",
            zorder=2,
        )
    )


def _name_axes(axes: Axes, embedding: Embedding, explained: tuple[float, ...]) -> None:
    if embedding == "pca":
        shares = [*explained[:2], None, None]
        axes.set(
            xlabel=style.component_axis(1, shares[0]), ylabel=style.component_axis(2, shares[1])
        )
        axes.set_aspect("equal", adjustable="datalim")
    else:
        # Lengths on a t-SNE map have no unit and no meaning across the map.
        axes.set(xlabel=style.tsne_axis(1), ylabel=style.tsne_axis(2))
        axes.tick_params(labelbottom=False, labelleft=False, length=0)


def _reading(lines: bool, widths: bool, said: str) -> str:
    parts = [said] if said else []
    if lines:
        parts.append("Paler: earlier; outlined: last" + ("; thicker line: larger KL" * widths))
    return ". ".join(parts) + "." * bool(parts)


def _dot(points: int) -> float:
    return float(np.clip(2200.0 / max(points, 1), 7.0, 46.0))


def called(points: pd.DataFrame) -> list[str | None]:
    """What is written beside each point: its name, those of its copies with it; beside them none.

    Parameters
    ----------
    points
        Columns point and, where some are identical, identical_to; see ``points.parquet``.
    """
    names = [str(name) for name in points["point"]]
    if "identical_to" not in points:
        return [style.short(name, 32) for name in names]
    copies: dict[str, list[str]] = {}
    of = [None if _missing(first) else str(first) for first in points["identical_to"]]
    for name, first in zip(names, of, strict=True):
        if first is not None:
            copies.setdefault(first, []).append(name)
    return [
        None if first is not None else _with_copies(name, copies.get(name, []))
        for name, first in zip(names, of, strict=True)
    ]


def _with_copies(name: str, copies: list[str]) -> str:
    if len(copies) == 1:
        return f"{style.short(name, 20)} = {style.short(copies[0], 20)}"
    return f"{style.short(name, 24)} and {len(copies)} equal" if copies else style.short(name, 32)


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))
