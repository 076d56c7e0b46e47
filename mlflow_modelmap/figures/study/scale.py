"""Figures: the scale of KL divergence across settings, as violins (Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.scales import show_zero, symlog
from mlflow_modelmap.numerics.scale.paper_scale import OF_SET_UP

FEWEST_FOR_A_VIOLIN = 8


def scale_figure(groups: Mapping[str, np.ndarray], table: pd.DataFrame) -> Figure:
    """A violin a group on a symlog axis (linear to 0.1), its median beside the paper's.

    Parameters
    ----------
    groups
        KL divergences in bits/byte, by group, in the order of drawing.
    table
        Columns ``group``, ``median``, ``n`` and ``paper_median`` (missing where there is none).

    Notes
    -----
    The paper's medians for 8-bit and 4-bit copies are drawn paler, see `paper_scale.SET_UP_NOTE`.
    The violin's density is estimated on the axis as it is drawn, so that its shape means what it
    shows, and ends where the values do; groups of fewer than eight pairs are points only.
    """
    names = list(groups)
    figure = style.figure(max(5.6, 1.6 + 0.9 * len(names)), 5.4)
    axes = style.panel(figure)
    symlog(axes)
    transform = axes.yaxis.get_transform()
    back = transform.inverted()
    rows = table.set_index("group")
    for position, name in enumerate(names):
        colour = style.PALETTE[position % len(style.PALETTE)]
        values = np.asarray(groups[name], dtype=float)
        drawn = np.asarray(transform.transform(values))
        if len(values) >= FEWEST_FOR_A_VIOLIN and np.ptp(drawn) > 0:
            _violin(axes, position, drawn, back, colour)
        shown = values if len(values) <= 60 else np.quantile(values, np.linspace(0, 1, 60))
        spread = np.random.default_rng(position).uniform(-0.1, 0.1, len(shown))
        size = 7 if len(values) >= FEWEST_FOR_A_VIOLIN else 26
        axes.scatter(position + spread, shown, s=size, color=colour, alpha=0.7, lw=0, zorder=3)
        median, paper = rows.loc[name, "median"], rows.loc[name, "paper_median"]
        axes.hlines(median, position - 0.32, position + 0.32, color=style.INK, lw=1.8, zorder=4)
        if pd.notna(paper):
            edge = style.OTHERS if name in OF_SET_UP else style.INK
            axes.scatter(
                position, paper, marker="D", s=30, facecolor="white", edgecolor=edge, zorder=5
            )
    labels = [
        f"{style.plain(name, 11)}\n{style.number(median)}\nn = {n}"
        for name, median, n in zip(
            names, rows.loc[names, "median"], rows.loc[names, "n"], strict=True
        )
    ]
    axes.set_xticks(range(len(names)), labels)
    axes.set_xlim(-0.6, len(names) - 0.4)
    show_zero(axes)
    axes.grid(False, axis="x")
    axes.set_xlabel("what differs, with the median (bits/byte) and the number of pairs")
    few = min(map(len, groups.values()), default=0) < FEWEST_FOR_A_VIOLIN
    headline(
        figure,
        "How large is each kind of difference? KL divergence by what differs",
        f"Groups of fewer than {FEWEST_FOR_A_VIOLIN} pairs are points only." if few else "",
    )
    axes.set_ylabel(style.KL_LABEL)
    handles = [Line2D([], [], color=style.INK, lw=1.8, label="median")]
    if rows["paper_median"].notna().any():
        diamond: dict[str, Any] = {"marker": "D", "linestyle": "", "markerfacecolor": "white"}
        of_set_up = set(OF_SET_UP) & set(rows.index[rows["paper_median"].notna()])
        handles += [
            Line2D([], [], color=colour, markersize=5, label=label, **diamond)
            for colour, label, shown_here in (
                (style.INK, "the paper's median", True),
                (style.OTHERS, "the paper's, likely of set-up, not of bits", bool(of_set_up)),
            )
            if shown_here
        ]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        fontsize=8,
        ncols=len(handles) if len(names) > 5 else 1,
    )
    return figure


def _violin(axes: Any, position: int, drawn: np.ndarray, back: Any, colour: str) -> None:
    """A kernel density in drawn units, mirrored about `position`."""
    from scipy.stats import gaussian_kde

    heights = np.linspace(drawn.min(), drawn.max(), 200)
    density = gaussian_kde(drawn)(heights)
    width = 0.38 * density / density.max()
    values = np.asarray(back.transform(heights))
    axes.fill_betweenx(
        values, position - width, position + width, color=colour, alpha=0.28, lw=0, zorder=2
    )
