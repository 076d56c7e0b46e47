"""Figures: trajectories in a t-SNE of three dimensions, and their late part (Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.trajectory.kl import Colours
from mlflow_modelmap.figures.trajectory.path import draw_path

MOST_PANELS = 9


def map_3d_figure(
    coordinates: np.ndarray,
    rows: Mapping[str, np.ndarray],
    colours: Colours,
    kl: np.ndarray | None = None,
) -> Figure:
    """Trajectories in a three-dimensional embedding, fading to early (Figure 6a).

    Parameters
    ----------
    coordinates
        Shape (K, 3).
    rows
        For each trajectory its rows in order of step.
    colours
        Of the trajectories.
    kl
        Bits per byte, shape (K, K): thicker lines are larger KL.
    """
    figure = style.figure(7.4, 5.8)
    axes = style.panel(figure, projection="3d")
    widest = _largest_step(rows, kl)
    for name, members in rows.items():
        path = coordinates[members]
        shade = style.fade(colours[name], np.linspace(0, 1, len(members)))
        collection = Line3DCollection(
            list(np.stack([path[:-1], path[1:]], axis=1)),
            colors=shade[1:],
            linewidths=_widths(members, kl, widest),
        )
        axes.add_collection(collection)
        axes.scatter(*path.T, s=8, c=shade, linewidths=0, depthshade=False)
        axes.scatter(
            *path[-1], s=34, c=[colours[name]], edgecolors=style.INK, lw=0.9, depthshade=False
        )
    axes.autoscale_view()
    axes.set_xlabel(style.tsne_axis(1))
    axes.set_ylabel(style.tsne_axis(2))
    axes.set_zlabel(style.tsne_axis(3))  # type: ignore[attr-defined]
    axes.tick_params(labelsize=7)
    axes.set_box_aspect(None, zoom=0.88)  # type: ignore[arg-type, call-arg]
    said = "Paler: earlier; outlined: last" + ("; thicker: larger KL" if kl is not None else "")
    headline(figure, "Where do trainings go? All checkpoints in three dimensions", f"{said}.")
    style.legend(figure, {n: colours[n] for n in rows}, lines=True)
    return figure


def late_figure(paths: Mapping[str, tuple[np.ndarray, np.ndarray]], colours: Colours) -> Figure:
    """PC2 against PC3 of the late part of a 3D embedding, a panel a trajectory (Figure 6b).

    Parameters
    ----------
    paths
        For each trajectory its steps (n,) and the principal components of its late part (n, 3).
    """
    shown = list(paths)[:MOST_PANELS]
    panels = Panels(shown, (3.3, 3.1), (0.4, 0.7))
    for position, name in panels:
        steps, components = paths[name]
        title = f"{style.short(name, 22)}, {style.step(steps[0])} to {style.step(steps[-1])}"
        axes = panels.axes(position, title=title)
        axes.title.set_fontsize(9)
        draw_path(axes, components[:, 1:3], colours[name])
        axes.set_xlabel("component 2 of t-SNE (no unit)")
        axes.set_ylabel("component 3 of t-SNE (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_aspect("equal", adjustable="datalim")
    headline(
        panels.figure,
        "Does the end of training go in circles?",
        "Second and third principal component of the late part of a three-dimensional t-SNE. "
        "Paler: earlier; outlined: last.",
    )
    return panels.figure


def _largest_step(rows: Mapping[str, np.ndarray], kl: np.ndarray | None) -> float:
    if kl is None:
        return 1.0
    return max(float(kl[m[:-1], m[1:]].max()) for m in rows.values()) or 1.0


def _widths(members: np.ndarray, kl: np.ndarray | None, widest: float) -> np.ndarray:
    if kl is None:
        return np.full(len(members) - 1, 1.0)
    return 0.6 + 3.0 * np.sqrt(kl[members[:-1], members[1:]] / widest)
