"""Figures: which texts move irregularly, and what their removal does (Figures 12 and 13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.scales import log_axis
from mlflow_modelmap.figures.trajectory.kl import line_colours


def text_scores_figure(texts: pd.DataFrame) -> Figure:
    """Largest against standard deviation of a text's changes, a dot a text (Figure 12).

    Parameters
    ----------
    texts
        Columns ``text``, ``maximum``, ``sd`` (nats), ``dropped``.
    """
    figure = style.figure(6.2, 4.6)
    axes = style.panel(figure)
    headline(
        figure,
        "Which texts jump between checkpoints? Those dropped change most",
        "A dot a text: how its log-likelihood changes from a checkpoint to the next.",
    )
    positive = texts[(texts["maximum"] > 0) & (texts["sd"] > 0)]
    for dropped, colour, label in (
        (False, style.PALETTE[0], "kept"),
        (True, style.PALETTE[1], "dropped"),
    ):
        part = positive[positive["dropped"] == dropped]
        if len(part):
            axes.scatter(
                part["sd"],
                part["maximum"],
                s=7,
                color=colour,
                linewidths=0,
                alpha=0.6,
                label=f"{label}: {len(part):,} texts",
            )
    log_axis(axes, "x")
    log_axis(axes)
    axes.set_xlabel("standard deviation of a text's change (nats)")
    axes.set_ylabel("largest change of a text (nats)")
    axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=2)
    return figure


def kl_after_removing_figure(table: pd.DataFrame, names: Sequence[str], chosen: int) -> Figure:
    """KL between checkpoints with more and more texts removed (Figure 13).

    Parameters
    ----------
    table
        Columns ``removed``, ``trajectory``, ``step``, ``kl``.
    names
        Trajectories, a panel each (six at most).
    chosen
        How many texts were removed for everything else; drawn in its own colour.
    """
    table = table[table["kl"] > 0]
    shown = [name for name in names if (table["trajectory"] == name).any()][:6]
    panels = Panels(shown, (3.3, 2.5), (1.4, 0.8))
    counts = sorted({int(c) for c in table["removed"]} - {0, chosen})
    norm = LogNorm(max(1, min(counts, default=1)), max([*counts, 2]))
    shade = ScalarMappable(norm, colormaps[style.SEQUENTIAL])
    first = None
    drawn = []
    for position, name in panels:
        axes = panels.axes(position, title=style.short(name), sharex=first, sharey=first)
        first = first or axes
        drawn.append(axes)
        own = table[table["trajectory"] == name]
        for count in counts:
            line = own[own["removed"] == count].sort_values("step")
            axes.plot(line["step"], line["kl"], color=shade.to_rgba(count), linewidth=0.8)
        for count, colour, dash in ((0, style.QUIET_INK, ":"), (chosen, style.PALETTE[1], "-")):
            line = own[own["removed"] == count].sort_values("step")
            if len(line):
                label = "none removed" if count == 0 else f"{count} removed (chosen)"
                axes.plot(
                    line["step"], line["kl"], color=colour, linestyle=dash, lw=1.3, label=label
                )
        log_axis(axes)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        panels.name_edges(axes, position, style.STEP_LABEL, style.KL_LABEL)
    if counts and drawn:
        bar = panels.figure.colorbar(shade, ax=drawn, shrink=0.8, pad=0.02)
        bar.set_label("number of texts removed", fontsize=9)
        bar.ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.tick_params(labelsize=8)
    if drawn:
        handles, labels = drawn[0].get_legend_handles_labels()
        headline(
            panels.figure, "Does KL hang on a few texts? From the checkpoint before, texts removed"
        )
        panels.figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8
        )
    return panels.figure


def halves_figure(first: np.ndarray, second: np.ndarray, correlation: float) -> Figure:
    """KL of all pairs of points on one half of the texts against the other (Appendix C).

    Parameters
    ----------
    first, second
        Bits per byte, one a pair.
    correlation
        Pearson's.
    """
    figure = style.figure(5.2, 4.8)
    axes = style.panel(figure)
    headline(
        figure,
        f"Do two halves of the texts agree on KL? r = {correlation:.4f}",
        "A dot a pair of points; on the line both halves are equal.",
    )
    known = (first > 0) & (second > 0)
    axes.scatter(
        first[known], second[known], s=5, color=style.PALETTE[0], alpha=0.35, lw=0, rasterized=True
    )
    low, high = float(np.min([first[known], second[known]])), float(np.max([first, second]))
    axes.plot([low, high], [low, high], color=style.QUIET_INK, linewidth=0.8)
    log_axis(axes, "x")
    log_axis(axes)
    axes.set_xlabel(f"{style.KL_LABEL} on the first half")
    axes.set_ylabel(f"{style.KL_LABEL} on the second half")
    return figure


def domains_figure(table: pd.DataFrame, names: Sequence[str], most: int = 10) -> Figure:
    """KL from the checkpoint before on the texts of each domain alone, a panel a trajectory.

    Parameters
    ----------
    table
        Columns ``domain``, ``texts``, ``trajectory``, ``step``, ``kl``, ``se``.
    names
        Trajectories (six at most are drawn).
    most
        Domains drawn, those with the most texts.
    """
    table = table[table["kl"] > 0]
    size = table.groupby("domain")["texts"].first().sort_values(ascending=False)
    domains = list(size.index[:most])
    colours = line_colours(domains)
    shown = [name for name in names if (table["trajectory"] == name).any()][:6]
    panels = Panels(shown, (3.4, 2.7), (2.4, 0.6))
    headline(panels.figure, "Does KL from the checkpoint before depend on the domain of the texts?")
    first = None
    for position, name in panels:
        axes = panels.axes(position, title=style.short(name), sharex=first, sharey=first)
        first = first or axes
        own = table[table["trajectory"] == name]
        for domain in domains:
            line = own[own["domain"] == domain].sort_values("step")
            axes.plot(line["step"], line["kl"], color=colours[domain], linewidth=1.0)
        log_axis(axes)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        panels.name_edges(axes, position, style.STEP_LABEL, style.KL_LABEL)
    labelled = {f"{domain} ({size[domain]:,})": colours[domain] for domain in domains}
    style.legend(
        panels.figure,
        labelled,
        markers=dict.fromkeys(labelled, ""),
        title="domain (texts)",
        lines=True,
    )
    return panels.figure
