"""Figures: distances between neighbouring checkpoints and what breaks their trend (Figure 11)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.scales import log_axis
from mlflow_modelmap.figures.trajectory.kl import Colours

_MOST_PANELS = 18
_FLAG = "#c0182b"


def continuity_figure(
    continuity: pd.DataFrame, anomalies: pd.DataFrame, colours: Colours, space: str
) -> Figure:
    """Each distance from the checkpoint before, the local trend, and the flagged checkpoints.

    Parameters
    ----------
    continuity
        Columns ``trajectory``, ``step_from``, ``step``, ``distance``, ``trend``.
    anomalies
        Columns ``trajectory``, ``kind``, ``step``, ``step_last``.
    colours
        Of the trajectories, a panel each; those with anomalies first where there are many. What
        was left out of the study is grey.
    space
        ``q`` or ``w``.
    """
    flagged = set(anomalies["trajectory"])
    there = set(continuity["trajectory"])
    order = [name for name in colours if name in there]
    if len(order) > _MOST_PANELS:
        order = sorted(order, key=lambda name: name not in flagged)[:_MOST_PANELS]
    panels = Panels(order, (3.5, 2.5), (0.3, 0.8))
    label = style.KL_LABEL if space == "q" else "squared distance (no unit)"
    for position, name in panels:
        axes = panels.axes(position, title=style.short(name, 30))
        own = continuity[continuity["trajectory"] == name].sort_values("step")
        axes.plot(own["step"], own["distance"], color=colours[name], lw=1.0, marker="o", ms=2)
        axes.plot(own["step"], own["trend"], color=style.QUIET_INK, lw=0.9, linestyle="--")
        log_axis(axes, values=own["distance"])
        flags = anomalies[anomalies["trajectory"] == name]
        # Room for what is written at the top.
        above = axes.transAxes.transform((0.0, 1.4))
        axes.set_ylim(top=float(axes.transData.inverted().transform(above)[1]))
        for place, row in enumerate(flags.itertuples()):
            axes.axvspan(row.step, row.step_last, color=_FLAG, alpha=0.25, lw=1.2)
            axes.annotate(
                f"{row.kind} {style.step(row.step)}",
                (row.step, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -3 - 9 * (place % 3)),
                textcoords="offset points",
                ha="left" if row.step < np.mean(axes.get_xlim()) else "right",
                va="top",
                fontsize=7.5,
                color=_FLAG,
            )
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        panels.name_edges(axes, position, style.STEP_LABEL, label)
    handles = [
        Line2D(
            [], [], color=style.INK, lw=1.0, marker="o", ms=3, label="from the checkpoint before"
        ),
        Line2D([], [], color=style.QUIET_INK, lw=0.9, linestyle="--", label="local trend"),
        Line2D([], [], color=_FLAG, lw=5, alpha=0.4, label="breaks the trend"),
    ]
    if style.OTHERS in (colours[name] for name in order):
        handles.append(Line2D([], [], color=style.OTHERS, lw=1.0, label="left out of the study"))
    moved = "KL divergence" if space == "q" else "Squared distance of weights"
    headline(
        panels.figure, f"Which checkpoints break the trend? {moved} from the checkpoint before"
    )
    panels.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 1 + panels.columns),
        frameon=False,
        fontsize=8,
    )
    return panels.figure


def siblings_figure(siblings: pd.DataFrame) -> Figure:
    """KL of each training from its siblings, and which are outliers (Figure 15 in numbers).

    Parameters
    ----------
    siblings
        Columns ``family``, ``trajectory``, ``step``, ``kl_to_siblings``, ``times_usual``,
        ``outlier``.
    """
    figure = style.figure(6.2, 0.28 * len(siblings) + 2.0)
    step = style.step(float(siblings["step"].iloc[0]))
    axes = style.panel(figure)
    said = "Red: an outlier among its siblings." if siblings["outlier"].any() else ""
    headline(figure, f"Which training is unlike its siblings? At step {step}", said)
    y = np.arange(len(siblings))[::-1]
    colour = [_FLAG if outlier else style.PALETTE[0] for outlier in siblings["outlier"]]
    axes.barh(y, siblings["kl_to_siblings"], color=colour, height=0.65)
    for place, row in zip(y, siblings.itertuples(), strict=True):
        text = f" {style.number(row.kl_to_siblings)}"
        if row.outlier:
            text += f": {row.times_usual:.1f} times the usual"
        axes.annotate(text, (row.kl_to_siblings, place), va="center", fontsize=8, color=style.INK)
    axes.set_yticks(y, [style.plain(name, 34) for name in siblings["trajectory"]])
    axes.set_ylim(-0.6, len(siblings) - 0.4)
    axes.set_xlim(
        0, (1.8 if siblings["outlier"].any() else 1.2) * float(siblings["kl_to_siblings"].max())
    )
    axes.set_xlabel(f"median {style.KL_LABEL} from the siblings")
    axes.grid(False, axis="y")
    return figure
