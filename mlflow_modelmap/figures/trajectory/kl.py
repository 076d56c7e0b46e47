"""Figures: KL divergence along trajectories and between them (Figures 4, 5 left, 15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, MOST_BANDS, kl_interval
from mlflow_modelmap.figures.scales import log_axis

Colours = Mapping[str, str]
BAND = f"band: {INTERVAL}"


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
    banded = not per_step and len(colours) <= MOST_BANDS
    label = "KL divergence per 1,000 steps (bits/byte)" if per_step else style.KL_LABEL
    early, late = (table[table["step_from"] < warm_up], table[table["step_from"] >= warm_up])
    panels = [
        (part, title, log)
        for part, title, log in (
            (early, "during warm-up", True),
            (late, "after warm-up", False),
        )
        if not part.empty
    ]
    figure = style.figure(4.3 * max(len(panels), 1) + _legend_width(colours), 4.1)
    for position, (part, title, log) in enumerate(panels, 1):
        axes = style.panel(figure, 1, len(panels), position, title=title)
        _curves(axes, part, colours, value, band=banded, markers=len(part) < 40)
        if log:
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=0)
        log_axis(axes, values=part[value])
        style.steps_axis(axes)
        axes.set_ylabel(label)
    alone = f" {style.short(next(iter(colours)), 40)}:" if len(colours) == 1 else ""
    if per_step:
        headline(figure, f"How fast do checkpoints move?{alone} KL divergence per 1,000 steps")
    else:
        title = f"How far does each checkpoint move?{alone} KL divergence from the one before"
        headline(figure, title, _band(colours))
    _trajectory_legend(figure, colours, BAND if banded else None)
    return figure


def kl_between_figure(table: pd.DataFrame, colours: Colours, most: int = 12) -> Figure:
    """KL of the first trajectory from each of the others, at the same step."""
    reference, *others = colours
    own = table[(table["trajectory"] == reference) | (table["other"] == reference)]
    own = own.assign(
        trajectory=np.where(own["trajectory"] == reference, own["other"], own["trajectory"])
    )
    shown = [name for name in others if (own["trajectory"] == name).any()][:most]
    figure = style.figure(4.9 + _legend_width(colours), 4.0)
    colours = {name: colours[name] for name in shown}
    axes = style.panel(figure)
    own = own[own["trajectory"].isin(shown)]
    _curves(axes, own, colours, "kl", band=True)
    axes.set_xscale("symlog", linthresh=max(1.0, _least_positive(own["step"])))
    axes.set_xlim(left=0)
    log_axis(axes, values=own["kl"])
    style.steps_axis(axes)
    axes.set_ylabel(style.KL_LABEL)
    of = f" is {style.short(shown[0], 32)}" if len(shown) == 1 else " is each training"
    title = f"How far{of} from {style.short(reference, 32)} at the same step?"
    headline(figure, title, _band(colours))
    _trajectory_legend(figure, colours, BAND)
    return figure


def _band(colours: Colours) -> str:
    """What the band is, where no legend says it."""
    return f"{BAND.capitalize()}." if len(colours) == 1 else ""


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
            low, high = kl_interval(y, line["se"])
            axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)


def _least_positive(values: pd.Series) -> float:
    above = values[values > 0]
    return float(above.min()) if len(above) else 1.0


def _legend_width(names: Colours) -> float:
    return 0.6 + 0.065 * min(34, max(map(len, names), default=0)) if len(names) > 1 else 0.2


def _trajectory_legend(figure: Figure, colours: Colours, title: str | None) -> None:
    if len(colours) > 1:
        none = dict.fromkeys(colours, "")
        style.legend(figure, dict(colours), markers=none, title=title, lines=True)
