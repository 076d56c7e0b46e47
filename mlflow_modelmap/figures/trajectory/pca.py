"""Figures: trajectories on principal components, in pairs and along steps (Figures 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.trajectory.kl import Colours
from mlflow_modelmap.figures.trajectory.path import draw_path

_ROOT = r"$\sqrt{\mathrm{bits/byte}}$"


def pca_pairs_figure(
    components: np.ndarray,
    explained: np.ndarray,
    rows: Mapping[str, np.ndarray],
    colours: Colours,
    pairs: Sequence[tuple[int, int]] = ((1, 2), (11, 12)),
) -> Figure:
    """Trajectories on pairs of principal components, the first and low ones (Figure 8).

    Parameters
    ----------
    components
        Shape (K, n); components are counted from 1.
    explained
        Each one's share of the variance.
    rows
        For each trajectory its rows in order of step.
    pairs
        Which; those beyond n are passed over.
    """
    pairs = [pair for pair in pairs if max(pair) <= components.shape[1]]
    figure = style.figure(4.2 * len(pairs) + 1.4, 4.0)
    for position, (a, b) in enumerate(pairs, 1):
        axes = style.panel(figure, 1, len(pairs), position, title=f"PC {a} and PC {b}")
        for name, members in rows.items():
            draw_path(axes, components[members][:, [a - 1, b - 1]], colours[name], size=9)
        axes.set_xlabel(f"PC {a}: {100 * explained[a - 1]:.2g} % of variance ({_ROOT})")
        axes.set_ylabel(f"PC {b}: {100 * explained[b - 1]:.2g} % of variance ({_ROOT})")
        axes.autoscale_view()
    if len(colours) > 1:
        style.legend(
            figure,
            {n: colours[n] for n in rows},
            title="paler: earlier; outlined: last",
            lines=True,
        )
    return figure


def pca_steps_figure(
    components: np.ndarray,
    rows: Mapping[str, np.ndarray],
    steps: Mapping[str, np.ndarray],
    colours: Colours,
    which: Sequence[int] = (1, 2, 3, 4, 5, 6, 11, 12),
) -> Figure:
    """Principal components against training step (Figure 9)."""
    which = [k for k in which if k <= components.shape[1] and np.any(components[:, k - 1])]
    panels = Panels(which, (2.9, 2.2), (1.4, 0.2), most_columns=4)
    for position, k in panels:
        axes = panels.axes(position, title=f"PC {k}")
        for name, members in rows.items():
            axes.plot(steps[name], components[members, k - 1], color=colours[name], linewidth=1.0)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        panels.name_edges(axes, position, style.STEP_LABEL, _ROOT)
    if len(colours) > 1:
        shown, none = {n: colours[n] for n in rows}, dict.fromkeys(colours, "")
        style.legend(panels.figure, shown, markers=none, lines=True)
    return panels.figure
