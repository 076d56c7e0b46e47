"""Figures: trajectories on principal components, in pairs and along steps (Figures 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.trajectory.kl import Colours
from mlflow_modelmap.figures.trajectory.path import draw_path

LEAST_SHARE = 0.01
"""Of the variance: components with less say hardly more than noise, and are not drawn."""


def pca_pairs_figure(
    components: np.ndarray,
    explained: np.ndarray,
    rows: Mapping[str, np.ndarray],
    colours: Colours,
    pairs: Sequence[tuple[int, int]] = ((1, 2), (3, 4), (11, 12)),
    least: float = LEAST_SHARE,
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
    least
        Share of the variance that both components of a pair have; the first pair is always drawn.
    """
    pairs = [pair for pair in pairs if max(pair) <= components.shape[1]]
    pairs = pairs[:1] + [
        p for p in pairs[1:] if min(explained[p[0] - 1], explained[p[1] - 1]) >= least
    ]
    figure = style.figure(4.2 * len(pairs) + 1.8, 4.5)
    for position, (a, b) in enumerate(pairs, 1):
        axes = style.panel(figure, 1, len(pairs), position, title=f"components {a} and {b}")
        for name, members in rows.items():
            draw_path(axes, components[members][:, [a - 1, b - 1]], colours[name], size=9)
        axes.set_xlabel(style.component_axis(a, explained[a - 1]))
        axes.set_ylabel(style.component_axis(b, explained[b - 1]))
        axes.autoscale_view()
    if len(colours) > 1:
        style.legend(
            figure,
            {n: colours[n] for n in rows},
            lines=True,
        )
    headline(
        figure,
        "How do trainings move along principal components?",
        f"Paler: earlier; outlined: last. {_left_out(least)}",
    )
    return figure


def pca_steps_figure(
    components: np.ndarray,
    explained: np.ndarray,
    rows: Mapping[str, np.ndarray],
    steps: Mapping[str, np.ndarray],
    colours: Colours,
    which: Sequence[int] = (1, 2, 3, 4, 5, 6, 11, 12),
    least: float = LEAST_SHARE,
) -> Figure:
    """Principal components against training step (Figure 9).

    Parameters
    ----------
    components, explained, rows, colours
        As `pca_pairs_figure` takes them.
    steps
        Of each trajectory.
    which, least
        The components; those with a smaller share of the variance than `least` are not drawn.
    """
    which = [k for k in which if k <= components.shape[1] and explained[k - 1] >= least] or [1]
    panels = Panels(which, (2.9, 2.3), (1.8, 0.8), most_columns=4)
    for position, k in panels:
        title = f"component {k}, {style.percent(explained[k - 1])} of variance"
        axes = panels.axes(position, title=title)
        axes.title.set_fontsize(9)
        for name, members in rows.items():
            axes.plot(steps[name], components[members, k - 1], color=colours[name], linewidth=1.0)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        panels.name_edges(axes, position, style.STEP_LABEL, f"component ({style.ROOT})")
    if len(colours) > 1:
        shown, none = {n: colours[n] for n in rows}, dict.fromkeys(colours, "")
        style.legend(panels.figure, shown, markers=none, lines=True)
    headline(panels.figure, "Along which components do trainings move, and when?", _left_out(least))
    return panels.figure


def _left_out(least: float) -> str:
    return f"Components with less than {style.percent(least)} of the variance are not drawn."
