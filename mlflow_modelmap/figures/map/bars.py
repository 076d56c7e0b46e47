"""Figures: bits per byte of every point, with its standard error, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL
from mlflow_modelmap.numerics.divergence.interval import mean_interval

_NUMBERED = 60
_TALLEST = 14.0
_LABEL_SIZE = 7.0


def bars_figure(
    names: Sequence[str],
    bits_per_byte: np.ndarray,
    standard_error: np.ndarray | None = None,
    *,
    groups: Sequence[Any] | None = None,
    groups_title: str | None = None,
    shades: np.ndarray | None = None,
    texts: float | None = None,
    title: str = "Which point predicts the text set best? Lower bits per byte are better",
    said: str = "",
) -> Figure:
    """Horizontal bars from zero, lowest bits per byte on top.

    Parameters
    ----------
    names
        K names; where there is no room for all, every so-manieth is written.
    bits_per_byte, standard_error
        Shape (K,); the error bars are 95 % intervals, by Student's t where `texts` are given.
    groups, groups_title
        K labels that give the colours, and what they are.
    shades
        Shape (K,), 0 (early, pale) to 1.
    texts
        How many they are means over; from fewer than 10 there are no error bars.
    title, said
        Above, and below.

    Returns
    -------
    Figure
    """
    value = np.asarray(bits_per_byte, dtype=float)
    times = float(mean_interval(0.0, 1.0, texts=1e9 if texts is None else texts)[1])
    if np.isnan(times):
        standard_error = None
    points = len(value)
    order = np.argsort(value, kind="stable")
    colours = style.colours(groups) if groups is not None else {}
    with_legend = len(colours) > 1
    height = float(np.clip(1.5 + 0.165 * points, 2.6, _TALLEST))
    figure = style.figure(7.0 + (2.0 if with_legend else 0.0), height)
    axes = style.panel(figure)
    headline(figure, title, said)
    rows = np.arange(points)
    labels = [groups[k] for k in order] if groups is not None else [None] * points
    share = np.ones(points) if shades is None else np.asarray(shades)[order]
    plain = style.PALETTE[0] if not colours else None
    half = (0.78 if points <= 150 else 1.0) / 2.0
    low, high, length = rows - half, rows + half, value[order]
    zero = np.zeros(points)
    corners = [zero, low, length, low, length, high, zero, high]
    axes.add_collection(
        PolyCollection(
            np.stack(corners, axis=1).reshape(points, 4, 2),
            facecolors=[
                style.fade(plain or style.colour_of(label, colours), float(s))
                for label, s in zip(labels, share, strict=True)
            ],
        )
    )
    if standard_error is not None:
        axes.errorbar(
            value[order],
            rows,
            xerr=times * np.asarray(standard_error, dtype=float)[order],
            fmt="none",
            ecolor=style.INK,
            elinewidth=0.8 if points <= 150 else 0.3,
            capsize=1.6 if points <= 60 else 0,
        )
    room = max(1, int((height - 1.4) * 72.0 / (_LABEL_SIZE * 1.25)))
    every = -(-points // room)
    named = rows[::every]
    axes.set_yticks(named, [style.plain(names[order[k]], 40) for k in named], fontsize=_LABEL_SIZE)
    if every > 1:
        axes.set_ylabel(
            f"every {style.ordinal(every)} of {points:,} points is named",
            fontsize=8,
            color=style.QUIET_INK,
        )
    axes.tick_params(axis="y", length=0 if every == 1 else 2)
    axes.grid(False, axis="y")
    axes.set_ylim(points - 0.4, -0.6)
    reach = value if standard_error is None else value + times * np.asarray(standard_error)
    axes.set_xlim(0.0, float(reach.max()) * 1.1)
    axes.set_xlabel(
        style.BITS_PER_BYTE_LABEL + ("" if standard_error is None else f" (line: {INTERVAL})")
    )
    if points <= _NUMBERED:
        error = np.zeros(points) if standard_error is None else np.asarray(standard_error)[order]
        for row, amount, more in zip(rows, value[order], error, strict=True):
            axes.annotate(
                f"{amount:.3f}",
                (amount + times * more, row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                color=style.QUIET_INK,
            )
    if with_legend:
        style.legend(axes, colours, title=groups_title, labels=labels)
    return figure
