"""Figures: predicted against measured scores, and predictions of points that have no score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL

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
    height = 5.0 if not len(new) or not named else max(5.0, 1.6 + 0.2 * len(new))
    figure = style.figure(7.0 if not len(new) else 11.0, height)
    grid = figure.add_gridspec(1, 2 if len(new) else 1, width_ratios=[5, 3] if len(new) else None)
    rows = skill.set_index("predictor")
    own = rows.loc["map"]
    benchmark = style.short(str(predictions["benchmark"].iloc[0]), 40)
    axes = style.panel(figure, grid[0, 0], title=f"{benchmark}: points with a score")
    for name, part in known.groupby("group", dropna=False):
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
    axes.set_xlabel("measured score (points of the benchmark)")
    axes.set_ylabel("predicted score, out of fold (points)")
    headline(
        figure,
        f"Does the map predict {benchmark}? r = {own['r']:.2f} "
        f"({INTERVAL} {own['r_low']:.2f} to {own['r_high']:.2f})",
        f"Root mean square error: {style.number(own['rmse'])} points from the map; "
        f"{style.number(rows.loc['bits per byte', 'rmse'])} from bits per byte alone, "
        f"{style.number(rows.loc['mean', 'rmse'])} from the mean. Dashed: predicted = measured.",
    )
    if len(new):
        strip = style.panel(figure, grid[0, 1], title=f"points without a score ({INTERVAL})")
        heights = np.arange(len(new))
        shades = [style.colour_of(name, colours) for name in new["group"]]
        strip.hlines(heights, new["low"], new["high"], color=shades, lw=1.2)
        strip.scatter(new["predicted"], heights, color=shades, s=22, zorder=3)
        strip.set_yticks(heights if named else [], _names(new["point"]) if named else [])
        strip.tick_params(axis="y", labelsize=8)
        strip.set_ylim(-0.8, len(new) - 0.2)
        strip.grid(False, axis="y")
        strip.set_xlabel("predicted score (points)")
    style.legend(figure, colours, markers=markers, title="group", labels=predictions["group"])
    return figure


def _names(points: pd.Series) -> list[str]:
    return [style.plain(point, 28) for point in points]
