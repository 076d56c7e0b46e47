"""Figures: squared weight distance between neighbouring checkpoints against step (Figure 11)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from mlflow_modelmap.figures.style import (
    colour_of,
    colours,
    figure,
    legend,
    number,
    panel,
    steps_axis,
)


def weight_distances_figure(previous: pd.DataFrame) -> Figure:
    """One line a trajectory, on logarithmic distances; equal weights are no point on it.

    Parameters
    ----------
    previous
        Columns ``trajectory``, ``step``, ``squared_distance`` (to the checkpoint before).
    """
    made = figure(7.0, 3.8)
    axes = panel(made, title="Weight distance to the previous checkpoint")
    colour = colours(previous["trajectory"])
    for name, line in previous.groupby("trajectory", sort=False):
        above = line[line["squared_distance"] > 0]
        axes.plot(
            above["step"],
            above["squared_distance"],
            color=colour_of(name, colour),
            marker="o",
            markersize=3,
            linewidth=1.2,
        )
    if (previous["squared_distance"] > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.yaxis.set_minor_formatter(LogFormatter())
    steps_axis(axes)
    axes.set_ylabel("squared distance")
    if len(colour) > 1:
        legend(made, colour, lines=True)
    return made
