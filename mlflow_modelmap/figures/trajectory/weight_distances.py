"""Figures: squared weight distance between neighbouring checkpoints against step (Figure 11)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.scales import log_axis


def weight_distances_figure(previous: pd.DataFrame) -> Figure:
    """One line a trajectory, on logarithmic distances; where weights are equal, 0 is on it too.

    Parameters
    ----------
    previous
        Columns ``trajectory``, ``step``, ``squared_distance`` (to the checkpoint before).
    """
    made = style.figure(7.4, 4.1)
    axes = style.panel(made)
    colours = style.colours(previous["trajectory"])
    for name, line in previous.groupby("trajectory", sort=False):
        axes.plot(
            line["step"],
            line["squared_distance"],
            color=style.colour_of(name, colours),
            marker="o",
            markersize=3,
            linewidth=1.2,
        )
    if (previous["squared_distance"] > 0).any():
        log_axis(axes, values=previous["squared_distance"])
    style.steps_axis(axes)
    axes.set_ylabel("squared weight distance (no unit)")
    headline(made, "How far do the weights move from one checkpoint to the next?")
    if len(colours) > 1:
        style.legend(made, colours, lines=True)
    return made
