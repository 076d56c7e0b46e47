"""Figures: KL divergence between all pairs of points, near ones side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.cluster.hierarchy import dendrogram

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.numerics.points.clustering import OrderedKL, in_order

_WRITTEN = 12
_TREE = 400
_BOTH_SIDES = 30
_DECADES = 6.0
_ZERO = "#d5d5d5"
"""The colour of pairs that do not differ at all, such as a point and its copy or itself."""
_LABEL_SIZE = 7.0


def heatmap_figure(
    kl: np.ndarray | OrderedKL,
    names: Sequence[str],
    *,
    groups: Sequence[Any] | None = None,
    groups_title: str | None = None,
    title: str = "Which points are alike? KL divergence of every two, near ones side by side",
    said: str = "",
) -> Figure:
    """All pairs as a heatmap, in the order of an average-linkage tree on sqrt(KL).

    Parameters
    ----------
    kl
        Bits per byte, shape (K, K), symmetric; or of many points already in order, and averaged.
    names
        K names; where there is no room for all, every so-manieth is written.
    groups
        K labels (model types, say) shown as a strip of colours, or None.
    groups_title
        What the groups are.
    title, said
        Above, and below.

    Returns
    -------
    Figure
        Up to 12 points each cell holds its number.
    """
    given = kl if isinstance(kl, OrderedKL) else _ordered(np.asarray(kl, dtype=float))
    links, order, cells = given.links, given.order.tolist(), given.kl
    points = len(order)
    side = float(np.clip(0.24 * points, 3.6, 8.0))
    colours = style.colours(groups) if groups is not None else {}
    strip = len(colours) > 1
    shown = [style.plain(names[k], 30) for k in order]
    both = points <= _BOTH_SIDES
    longest = max(map(len, shown)) * 0.055
    width = side + longest + 1.2 + (2.0 if strip else 0.0)
    figure = style.figure(width, side + 1.2 + (longest if both else 0.0))
    grid = figure.add_gridspec(
        2,
        2,
        height_ratios=[0.12 if _has_tree(links, points) else 0.001, 1.0],
        width_ratios=[0.025 if strip else 0.001, 1.0],
    )
    axes = figure.add_subplot(grid[1, 1])
    branches = figure.add_subplot(grid[0, 1])
    shades = figure.add_subplot(grid[1, 0])
    norm, extend = colour_scale(cells)
    colour = ScalarMappable(norm, colormaps[style.SEQUENTIAL].with_extremes(bad=_ZERO))
    # Colours once, as bytes: of numbers matplotlib makes them anew at each drawing, in float64.
    axes.imshow(
        colour.to_rgba(
            np.ma.masked_where(cells == 0.0, np.maximum(cells, norm.vmin or 0.0)), bytes=True
        ),
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, points - 0.5, points - 0.5, -0.5),
    )
    _draw_tree(branches, links, points)
    headline(figure, title, said)
    _draw_groups(shades, [groups[k] for k in order] if groups is not None else [], colours, strip)
    _name_rows(shades if strip else axes, shown, side)
    if strip:
        axes.set_yticks([])
    if both:
        axes.set_xticks(range(points), shown, rotation=90, fontsize=_LABEL_SIZE)
    else:
        axes.set_xticks([])
        said = "the same points, in the same order"
        if len(cells) < points:
            said += f"; a cell is the mean of about {points / len(cells):.2g} by as many"
        axes.set_xlabel(said, fontsize=8, color=style.QUIET_INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if points <= _WRITTEN:
        _write_cells(axes, cells, norm)
    bar = figure.colorbar(
        colour, ax=[axes, branches], extend=extend, shrink=0.8, aspect=30, pad=0.015
    )
    bar.set_label(style.KL_LABEL, fontsize=9)
    _tick_bar(bar, norm)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if (cells == 0.0).any():
        _say_zero(bar.ax)
    if strip:
        style.legend(figure, colours, title=groups_title, labels=groups or ())
    return figure


def _ordered(kl: np.ndarray) -> OrderedKL:
    return in_order(kl) if len(kl) > 1 else OrderedKL(np.arange(len(kl)), kl, np.empty((0, 4)))


def _say_zero(bar: Axes) -> None:
    """A patch below the colour bar for what is no small KL but none."""
    bar.add_patch(
        Rectangle(
            (0.0, -0.085),
            1.0,
            0.025,
            transform=bar.transAxes,
            facecolor=_ZERO,
            edgecolor=style.QUIET_INK,
            linewidth=0.5,
            clip_on=False,
        )
    )
    bar.text(1.35, -0.0725, "0, equal", transform=bar.transAxes, va="center", fontsize=8)


def colour_scale(kl: np.ndarray) -> tuple[Normalize, str]:
    """Logarithmic colours from the smallest positive KL, over at most six decades.

    Returns
    -------
    norm, extend
        The norm, and which end of the colour bar stands for values beyond it.
    """
    above = kl[np.triu_indices(len(kl), 1)]
    positive = above[above > 0]
    if positive.size == 0:
        return Normalize(0.0, 1.0), "neither"
    low, high = float(positive.min()), float(positive.max())
    floor = max(low, high / 10**_DECADES)
    if high / floor < 2.0:
        floor = high / 2.0
    return LogNorm(floor, high), "min" if low < floor else "neither"


def _tick_bar(bar: Colorbar, norm: Normalize) -> None:
    """1, 2 and 5 of each decade as plain numbers; evenly where there is hardly one decade."""
    if isinstance(norm, LogNorm):
        narrow = norm.vmax / norm.vmin < 8.0  # type: ignore[operator]
        bar.locator = MaxNLocator(5) if narrow else LogLocator(subs=(1.0, 2.0, 5.0), numticks=24)
    bar.formatter = FuncFormatter(lambda value, _: style.number(value))
    bar.minorformatter = NullFormatter()
    bar.update_ticks()


def _has_tree(links: np.ndarray, points: int) -> bool:
    return len(links) > 0 and points <= _TREE


def _draw_tree(axes: Axes, links: np.ndarray, points: int) -> None:
    axes.set_axis_off()
    if not _has_tree(links, points):
        return
    drawn = dendrogram(links, no_plot=True)
    # SciPy puts leaf k at 10 k + 5; a cell of the heatmap is 1 wide and centred on k.
    across = (np.array(drawn["icoord"]) - 5.0) / 10.0
    axes.add_collection(
        LineCollection(
            list(np.stack([across, np.array(drawn["dcoord"])], axis=2)),
            colors=style.QUIET_INK,
            linewidths=0.9 if points <= 60 else 0.5,
        )
    )
    axes.set_xlim(-0.5, points - 0.5)
    axes.set_ylim(0.0, float(links[:, 2].max()) * 1.04 or 1.0)


def _draw_groups(axes: Axes, groups: list[Any], colours: dict[str, str], strip: bool) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if not strip:
        axes.set_axis_off()
        return
    palette = [*colours.values(), style.OTHERS]
    names = list(colours)
    rows = [names.index(str(g)) if style.is_group(g) else len(names) for g in groups]
    axes.imshow(
        np.array(rows)[:, None],
        cmap=ListedColormap(palette),
        vmin=-0.5,
        vmax=len(palette) - 0.5,
        aspect="auto",
        interpolation="nearest",
    )


def _name_rows(axes: Axes, names: list[str], side: float) -> None:
    room = int(side * 72.0 / (_LABEL_SIZE * 1.25))
    every = -(-len(names) // room)
    rows = list(range(0, len(names), every))
    axes.set_yticks(rows, [names[k] for k in rows], fontsize=_LABEL_SIZE)
    axes.tick_params(axis="y", length=2 if every > 1 else 0)
    if every > 1:
        axes.set_ylabel(
            f"every {style.ordinal(every)} point is named", fontsize=8, color=style.QUIET_INK
        )


def _write_cells(axes: Axes, kl: np.ndarray, norm: Normalize) -> None:
    for i, row in enumerate(kl):
        for j, value in enumerate(row):
            if i != j:
                shade = float(norm(max(value, norm.vmin or 0.0))) if value else 1.0
                axes.text(
                    j,
                    i,
                    style.number(value),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if shade < 0.6 else style.INK,
                )
