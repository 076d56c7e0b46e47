"""Figures: trajectories in weight space, turned alike (Figure 10)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.trajectory.embedding_3d import MOST_PANELS
from mlflow_modelmap.figures.trajectory.kl import Colours
from mlflow_modelmap.figures.trajectory.path import draw_path


def weights_map_figure(
    paths: Mapping[str, np.ndarray], steps: Mapping[str, np.ndarray], colours: Colours
) -> Figure:
    """Trajectories in weight space, each embedded by itself, centred and turned (Figure 10).

    Parameters
    ----------
    paths
        For each trajectory its aligned coordinates in order of step, shape (n, 2).
    steps
        Its steps.
    """
    shown = list(paths)[:MOST_PANELS]
    panels = Panels(shown, (3.2, 3.0), (0.2, 0.8))
    for position, name in panels:
        title = f"{style.short(name, 22)}, from {style.step(steps[name][0])}"
        axes = panels.axes(position, title=title)
        axes.title.set_fontsize(9)
        draw_path(axes, paths[name], colours[name])
        axes.set_xlabel(style.tsne_axis(1))
        axes.set_ylabel(style.tsne_axis(2))
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.set_aspect("equal", adjustable="datalim")
    headline(
        panels.figure,
        "How does each training move through the space of weights?",
        "Each is embedded by itself and turned so that training runs to the right. "
        "Paler: earlier; outlined: last.",
    )
    return panels.figure
