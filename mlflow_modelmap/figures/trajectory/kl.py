"""Figures: KL divergence along trajectories and between them (Figures 4, 5 left, 14, 15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.panels import Panels

Colours = Mapping[str, str]


def line_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each trajectory, in the order given, for all figures of a study."""
    found = style.colours(names)
    return {name: style.colour_of(name, found) for name in names}


def kl_previous_figure(
    table: pd.DataFrame, colours: Colours, warm_up: int, *, per_step: bool = False
) -> Figure:
    """KL of each checkpoint from the one before, during and after warm-up (Figure 4).

    Parameters
    ----------
    table
        Columns ``trajectory``, ``step_from``, ``step``, ``kl``, ``se``, ``kl_per_1000_steps``.
    colours
        Of the trajectories, in the order of the legend.
    warm_up
        First step after warm-up; without checkpoints before it there is one panel.
    per_step
        Draw KL per 1,000 steps, which does not jump where the spacing changes.
    """
    value = "kl_per_1000_steps" if per_step else "kl"
    label = "KL per 1,000 steps (bits/byte)" if per_step else style.KL_LABEL
    table = table[table[value] > 0]
    early, late = (table[table["step_from"] < warm_up], table[table["step_from"] >= warm_up])
    panels = [
        (part, title, log)
        for part, title, log in (
            (early, "during warm-up", True),
            (late, "after warm-up", False),
        )
        if not part.empty
    ]
    figure = style.figure(4.3 * max(len(panels), 1) + _legend_width(colours), 3.8)
    for position, (part, title, log) in enumerate(panels, 1):
        axes = style.panel(figure, 1, len(panels), position, title=title)
        _curves(axes, part, colours, value, band=not per_step, markers=len(part) < 40)
        if log:
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=0)
        log_axis(axes)
        style.steps_axis(axes)
        axes.set_ylabel(label)
    _trajectory_legend(figure, colours, "band: ± 1 SE" if not per_step else None)
    return figure


def kl_late_figure(table: pd.DataFrame, colours: Colours, from_step: int) -> Figure:
    """KL from the checkpoint before, from some step on, a panel a trajectory (Figure 14)."""
    late = table[(table["step_from"] >= from_step) & (table["kl"] > 0)]
    shown = [name for name in colours if (late["trajectory"] == name).any()]
    panels = Panels(shown, (3.4, 2.4), (0.4, 0.3))
    first: Axes | None = None
    for position, name in panels:
        axes = panels.axes(position, title=style.short(name), sharex=first, sharey=first)
        first = first or axes
        _curves(axes, late[late["trajectory"] == name], {name: colours[name]}, "kl", band=True)
        log_axis(axes)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        panels.name_edges(axes, position, style.STEP_LABEL, "KL (bits/byte)")
    said = "KL from the checkpoint before (band: ± 1 SE)"
    panels.figure.suptitle(said, fontsize=10, x=0.02, ha="left")
    return panels.figure


def kl_between_figure(table: pd.DataFrame, colours: Colours, most: int = 12) -> Figure:
    """KL of the first trajectory from each of the others, at the same step."""
    reference, *others = colours
    own = table[(table["trajectory"] == reference) | (table["other"] == reference)]
    own = own.assign(
        trajectory=np.where(own["trajectory"] == reference, own["other"], own["trajectory"])
    )
    own = own[own["kl"] > 0]
    shown = [name for name in others if (own["trajectory"] == name).any()][:most]
    figure = style.figure(4.9 + _legend_width(colours), 3.6)
    colours = {name: colours[name] for name in shown}
    title = f"KL from {style.short(reference, 32)} at the same step"
    axes = style.panel(figure, title=title)
    _curves(axes, own[own["trajectory"].isin(shown)], colours, "kl", band=True)
    axes.set_xscale("symlog", linthresh=max(1.0, _least_positive(own["step"])))
    axes.set_xlim(left=0)
    log_axis(axes)
    style.steps_axis(axes)
    axes.set_ylabel(style.KL_LABEL)
    _trajectory_legend(figure, colours, "band: ± 1 SE")
    return figure


def _curves(
    axes: Axes,
    table: pd.DataFrame,
    colours: Colours,
    value: str,
    *,
    band: bool,
    markers: bool = False,
) -> None:
    for name, colour in colours.items():
        line = table[table["trajectory"] == name].sort_values("step")
        if line.empty:
            continue
        x, y = line["step"].to_numpy(dtype=float), line[value].to_numpy(dtype=float)
        marker = "o" if markers or len(line) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.1, marker=marker, markersize=2.8)
        if band:
            se = line["se"].to_numpy(dtype=float)
            low = np.maximum(y - se, 1e-3 * y)
            axes.fill_between(x, low, y + se, color=colour, alpha=0.22, linewidth=0)


def log_axis(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis with plain numbers, also where it spans less than a decade.

    Call it when the data and limits are in place.
    """
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    span = high / max(low, 1e-300)
    if span < 8:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if span < 100 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value)))
    axis.set_minor_formatter(NullFormatter())


def _least_positive(values: pd.Series) -> float:
    above = values[values > 0]
    return float(above.min()) if len(above) else 1.0


def _legend_width(names: Colours) -> float:
    return 0.6 + 0.065 * min(34, max(map(len, names), default=0)) if len(names) > 1 else 0.2


def _trajectory_legend(figure: Figure, colours: Colours, title: str | None) -> None:
    if len(colours) > 1:
        none = dict.fromkeys(colours, "")
        style.legend(figure, dict(colours), markers=none, title=title, lines=True)
