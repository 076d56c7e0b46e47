"""Figures: predicted against measured scores, and predictions of points that have no score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style

_MOST_NAMED = 30


def prediction_figure(predictions: pd.DataFrame, skill: pd.DataFrame) -> Figure:
    """Points out of fold with the line where both are equal; those without a score in a strip.

    Parameters
    ----------
    predictions
        Columns ``benchmark`` (one), ``point``, ``group``, ``score``, ``predicted``, ``low``,
        ``high``.
    skill
        Of the same benchmark: ``predictor``, ``r``, ``r_low``, ``r_high``, ``rmse``.
    """
    known = predictions[predictions["score"].notna()]
    new = predictions[predictions["score"].isna()].sort_values("predicted")
    colours = style.colours(predictions["group"])
    markers = style.markers(predictions["group"])
    named = len(new) <= _MOST_NAMED
    height = 4.6 if not len(new) or not named else max(4.6, 1.2 + 0.2 * len(new))
    figure = style.figure(7.0 if not len(new) else 11.0, height)
    grid = figure.add_gridspec(1, 2 if len(new) else 1, width_ratios=[5, 3] if len(new) else None)
    rows = skill.set_index("predictor")
    own = rows.loc["map"]
    axes = style.panel(figure, grid[0, 0], title=str(predictions["benchmark"].iloc[0])[:60])
    for name, part in known.groupby("group"):
        axes.scatter(
            part["score"],
            part["predicted"],
            s=26,
            marker=markers.get(str(name), "o"),
            color=style.colour_of(name, colours),
            edgecolor="white",
            linewidths=0.5,
            zorder=3,
        )
    both = known[["score", "predicted"]].to_numpy()
    ends = np.array([both.min(), both.max()])
    axes.plot(ends, ends, color=style.QUIET_INK, lw=1.0, ls="--", zorder=2)
    axes.set_xlabel("measured score")
    axes.set_ylabel("predicted from the map, out of fold")
    figure.suptitle(
        f"r = {own['r']:.2f} ({own['r_low']:.2f} to {own['r_high']:.2f}), RMSE "
        f"{style.number(own['rmse'])}; by bits per byte alone "
        f"{style.number(rows.loc['bits per byte', 'rmse'])}, by the mean "
        f"{style.number(rows.loc['mean', 'rmse'])}",
        fontsize=9,
        color=style.QUIET_INK,
    )
    if len(new):
        strip = style.panel(figure, grid[0, 1], title="without a score, 95 %")
        heights = np.arange(len(new))
        shades = [style.colour_of(name, colours) for name in new["group"]]
        strip.hlines(heights, new["low"], new["high"], color=shades, lw=1.2)
        strip.scatter(new["predicted"], heights, color=shades, s=22, zorder=3)
        strip.set_yticks(heights if named else [], _names(new["point"]) if named else [])
        strip.tick_params(axis="y", labelsize=8)
        strip.set_ylim(-0.8, len(new) - 0.2)
        strip.grid(False, axis="y")
        strip.set_xlabel("predicted score")
    handles = [Line2D([], [], color=style.QUIET_INK, lw=1.0, ls="--", label="predicted = measured")]
    figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8)
    style.legend(figure, colours, markers=markers, title="group")
    return figure


def _names(points: pd.Series) -> list[str]:
    return [style.plain(point, 28) for point in points]
