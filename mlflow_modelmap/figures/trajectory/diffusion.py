"""Figures: diffusion in log-likelihood and weight space (Figure 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL
from mlflow_modelmap.figures.scales import log_axis
from mlflow_modelmap.figures.trajectory.kl import Colours
from mlflow_modelmap.numerics.diffusion.tables import Q, W

WORDS = {Q: "log-likelihoods", W: "weights"}
_LINES = {Q: "-", W: (0, (4, 2))}
_QUESTION = "Do trainings diffuse like Brownian motion? Exponent over {} steps; below 1: slower"
_BROWNIAN = "slope 1, Brownian motion"
_MOST_NAMED = 20
_MOST_IN_ROWS = 15


def displacement_figure(
    distances: pd.DataFrame, fits: pd.DataFrame, colours: Colours, start: int
) -> Figure:
    """Squared distance from one checkpoint against steps since then, both on logs.

    Parameters
    ----------
    distances
        Columns ``trajectory``, ``space`` (q or w), ``lag`` (steps), ``squared``.
    fits
        Columns ``trajectory``, ``space``, ``exponent``, for the numbers in the legend.
    colours
        Of the trajectories, in the order of the legend.
    start
        t0.
    """
    spaces = [space for space in (Q, W) if (distances["space"] == space).any()]
    rows = -(-len(colours) // (1 if len(colours) < 4 else 2)) + 1
    figure = style.figure(3.9 * len(spaces) + 1.7, 4.0 + 0.17 * min(rows, _MOST_NAMED))
    exponent = fits.set_index(["trajectory", "space"])["exponent"].to_dict()
    for position, space in enumerate(spaces, 1):
        axes = style.panel(figure, 1, len(spaces), position, title=f"in {WORDS[space]}")
        own = distances[(distances["space"] == space) & (distances["squared"] > 0)]
        for name in colours:
            line = own[own["trajectory"] == name].sort_values("lag")
            if line.empty:
                continue
            c = exponent.get((name, space))
            label = style.plain(name, 24) + (f", c = {c:.2f}" if c is not None else "")
            axes.plot(
                line["lag"],
                line["squared"],
                color=colours[name],
                linestyle=_LINES[space],
                marker="o",
                markersize=3,
                linewidth=1.1,
                label=label,
            )
        _slope_one(axes)
        log_axis(axes, "x")
        log_axis(axes)
        style.steps_axis(axes)
        axes.set_xlabel(f"training steps since step {style.step(start)}")
        axes.set_ylabel(style.KL_LABEL if space == Q else "squared weight distance (no unit)")
        _legend(axes, len(colours))
    headline(
        figure,
        f"How fast do trainings move away from step {style.step(start)}?",
        "c: the diffusion exponent, which is the slope of the line on these axes.",
    )
    return figure


def _legend(axes: Axes, lines: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    band = labels.index(_BROWNIAN) if _BROWNIAN in labels else len(labels)
    kept = [k for k in range(len(labels)) if k != band][:_MOST_NAMED]
    shown = [*kept, *range(band, min(band + 1, len(labels)))]
    left = len(labels) - len(shown)
    axes.legend(
        [handles[k] for k in shown],
        [labels[k] for k in shown],
        title=f"the first {len(kept)} of {len(kept) + left}" if left else None,
        title_fontsize=7.5,
        frameon=False,
        fontsize=7.5,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=1 if lines < 4 else 2,
    )


def exponents_figure(diffusion: pd.DataFrame, colours: Colours, window: float) -> Figure:
    """Diffusion exponent against t0, with its confidence band (Figure 5, right).

    Parameters
    ----------
    diffusion
        Columns ``trajectory``, ``space``, ``t0``, ``exponent``, ``low``, ``high``.
    colours
        Of the trajectories, in the order of the legend.
    window
        In steps.
    """
    spaces = [space for space in (Q, W) if (diffusion["space"] == space).any()]
    if diffusion["t0"].nunique() < 3:
        return _dots(diffusion, colours, window, spaces)
    figure = style.figure(8.2, 4.5)
    axes = style.panel(figure)
    few = len(colours) * len(spaces) <= 4
    reach: list[float] = []
    for name in colours:
        for space in spaces:
            line = diffusion[(diffusion["trajectory"] == name) & (diffusion["space"] == space)]
            line = line.sort_values("t0")
            x = line["t0"].to_numpy(dtype=float)
            axes.plot(
                x,
                line["exponent"],
                color=colours[name],
                linestyle=_LINES[space],
                linewidth=1.1,
                marker="o" if len(line) < 3 else None,
                markersize=3,
            )
            if few:
                low, high = line["low"].to_numpy(float), line["high"].to_numpy(float)
                reach += [*low[np.isfinite(low)], *high[np.isfinite(high)]]
                axes.fill_between(x, low, high, color=colours[name], alpha=0.15, linewidth=0)
    axes.axhline(1.0, color=style.QUIET_INK, linewidth=0.8, linestyle=":")
    values = diffusion[diffusion["space"].isin(spaces)]["exponent"]
    # An interval may reach beyond any exponent that a path can have.
    reach = [*np.clip(reach, -0.5, 2.5), *values, 0.0, 1.1]
    low, high = min(reach), max(reach)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    style.steps_axis(axes)
    axes.set_xlabel("training step at which the exponent's window begins")
    axes.set_ylabel("diffusion exponent (no unit)")
    handles = [
        Line2D([], [], color=style.INK, linestyle=_LINES[s], linewidth=1.3, label=WORDS[s])
        for s in spaces
    ]
    dots = {"color": style.QUIET_INK, "linestyle": ":", "linewidth": 0.9}
    handles.append(Line2D([], [], label="1, Brownian motion", **dots))
    handles += [
        Line2D([], [], color=c, linewidth=1.3, label=style.plain(n, 30))
        for n, c in list(colours.items())[:_MOST_IN_ROWS]
    ]
    if len(colours) > _MOST_IN_ROWS:
        rest = len(colours) - _MOST_IN_ROWS
        handles.append(Line2D([], [], linestyle="", label=f"and {rest} more"))
    headline(figure, _QUESTION.format(style.step(window)), f"Band: {INTERVAL}." if few else "")
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
    return figure


def _dots(diffusion: pd.DataFrame, colours: Colours, window: float, spaces: list[str]) -> Figure:
    """Exponents as dots with their intervals, a line a trajectory, where there are few t0."""
    rows = diffusion[diffusion["space"].isin(spaces)]
    rows = rows[rows["t0"] == rows["t0"].max()]
    figure = style.figure(6.4, 0.34 * len(colours) * len(spaces) + 2.1)
    t0 = style.step(float(rows["t0"].iloc[0]))
    axes = style.panel(figure)
    said = f"Bar: {INTERVAL}; the window begins at step {t0}; dotted: 1, Brownian motion."
    headline(figure, _QUESTION.format(style.step(window)), said)
    labels: list[str] = []
    for name, colour in colours.items():
        for space in spaces:
            own = rows[(rows["trajectory"] == name) & (rows["space"] == space)]
            for row in own.itertuples():
                y = -len(labels)
                axes.plot([row.low, row.high], [y, y], color=colour, alpha=0.4, linewidth=2.5)
                axes.plot(row.exponent, y, "o" if space == Q else "s", color=colour, markersize=5)
                labels.append(f"{style.plain(name, 30)}: {WORDS[space]}")
    axes.axvline(1.0, color=style.QUIET_INK, linewidth=0.9, linestyle=":")
    ends = rows[["low", "high"]].to_numpy(dtype=float)
    reach = [*np.clip(ends[np.isfinite(ends)], -0.5, 2.5), *rows["exponent"], 0.0, 1.1]
    axes.set_xlim(min(reach) - 0.05, max(reach) + 0.05)
    axes.set_yticks(-np.arange(len(labels)), labels)
    axes.set_ylim(-len(labels) + 0.4, 0.6)
    axes.set_xlabel("diffusion exponent (no unit)")
    return figure


def _slope_one(axes: Axes) -> None:
    """A broad pale line of slope 1 from the smallest value on."""
    data = [line.get_xydata() for line in axes.get_lines()]
    if not data:
        return
    points = np.concatenate([np.asarray(d, dtype=float) for d in data])
    x = np.array([points[:, 0].min(), points[:, 0].max()])
    y = points[:, 1].min() * x / x[0]
    band = {"color": style.GRID, "linewidth": 6, "zorder": 0.5, "solid_capstyle": "butt"}
    axes.plot(x, y, label=_BROWNIAN, **band)
