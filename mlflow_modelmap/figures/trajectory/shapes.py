"""Figures: the shapes of trajectories - t-SNE in 3D, PCA, oscillation (Figures 6 to 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.trajectory.kl import Colours, short
from mlflow_modelmap.numerics.trajectory.oscillation import Autocorrelation

_MOST_PANELS = 9
_ROOT = r"$\sqrt{\mathrm{bits/byte}}$"


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
    axes.set_xlabel("t-SNE 1")
    axes.set_ylabel("t-SNE 2")
    axes.set_zlabel("t-SNE 3")  # type: ignore[attr-defined]
    axes.tick_params(labelsize=7)
    axes.set_box_aspect(None, zoom=0.88)  # type: ignore[arg-type, call-arg]
    said = "paler: earlier; outlined: last" + ("; thicker: larger KL" if kl is not None else "")
    axes.set_title(said, fontsize=8, color=style.QUIET_INK, loc="right")
    style.legend(figure, {n: colours[n] for n in rows}, lines=True)
    return figure


def late_figure(paths: Mapping[str, tuple[np.ndarray, np.ndarray]], colours: Colours) -> Figure:
    """PC2 against PC3 of the late part of a 3D embedding, a panel a trajectory (Figure 6b).

    Parameters
    ----------
    paths
        For each trajectory its steps (n,) and the principal components of its late part (n, 3).
    """
    shown = list(paths)[:_MOST_PANELS]
    columns = min(max(len(shown), 1), 3)
    rows = max(1, -(-len(shown) // columns))
    figure = style.figure(3.3 * columns, 3.1 * rows)
    for position, name in enumerate(shown, 1):
        steps, components = paths[name]
        axes = style.panel(
            figure,
            rows,
            columns,
            position,
            title=f"{short(name, 22)}, {style.step(steps[0])} to {style.step(steps[-1])}",
        )
        axes.title.set_fontsize(9)
        _path(axes, components[:, 1:3], colours[name])
        axes.set_xlabel("PC 2 of t-SNE")
        axes.set_ylabel("PC 3 of t-SNE")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def autocorrelation_figure(found: Mapping[str, Mapping[float, Autocorrelation]]) -> Figure:
    """Autocorrelation of PC3 of the late part for several perplexities (Figure 7).

    Parameters
    ----------
    found
        For each trajectory, by perplexity.
    """
    shown = list(found)[:_MOST_PANELS]
    perplexities = sorted({p for by in found.values() for p in by})
    shade = style.fade(style.PALETTE[0], np.linspace(0.25, 1, len(perplexities)))
    columns = min(max(len(shown), 1), 3)
    rows = max(1, -(-len(shown) // columns))
    figure = style.figure(3.4 * columns + 0.2, 2.6 * rows + 0.2)
    for position, name in enumerate(shown, 1):
        axes = style.panel(figure, rows, columns, position, title=short(name))
        for k, perplexity in enumerate(perplexities):
            own = found[name].get(perplexity)
            if own is None:
                continue
            period = "no period" if own.period is None else f"period {style.step(own.period)}"
            axes.plot(
                own.lags, own.values, color=shade[k], lw=1.1, label=f"{perplexity:g}: {period}"
            )
            if own.period is not None:
                at = int(np.flatnonzero(own.lags == own.period)[0])
                axes.plot(own.period, own.values[at], "o", color=shade[k], ms=4)
        axes.axhline(0, color=style.QUIET_INK, linewidth=0.7)
        style.steps_axis(axes)
        axes.set_xlabel("lag (steps)")
        axes.set_ylabel("autocorrelation of PC 3")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.legend(frameon=False, fontsize=7, title="perplexity", title_fontsize=7)
    return figure


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
            _path(axes, components[members][:, [a - 1, b - 1]], colours[name], size=9)
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
    columns = min(max(len(which), 1), 4)
    lines = max(1, -(-len(which) // columns))
    figure = style.figure(2.9 * columns + 1.4, 2.2 * lines + 0.2)
    for position, k in enumerate(which, 1):
        axes = style.panel(figure, lines, columns, position, title=f"PC {k}")
        for name, members in rows.items():
            axes.plot(steps[name], components[members, k - 1], color=colours[name], linewidth=1.0)
        style.steps_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlabel(style.STEP_LABEL if position > len(which) - columns else "")
        axes.set_ylabel(_ROOT if position % columns == 1 or columns == 1 else "")
    if len(colours) > 1:
        style.legend(
            figure, {n: colours[n] for n in rows}, markers=dict.fromkeys(colours, ""), lines=True
        )
    return figure


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
    shown = list(paths)[:_MOST_PANELS]
    columns = min(max(len(shown), 1), 3)
    rows = max(1, -(-len(shown) // columns))
    figure = style.figure(3.2 * columns, 3.0 * rows + 0.2)
    for position, name in enumerate(shown, 1):
        axes = style.panel(
            figure,
            rows,
            columns,
            position,
            title=f"{short(name, 22)}, from {style.step(steps[name][0])}",
        )
        axes.title.set_fontsize(9)
        _path(axes, paths[name], colours[name])
        axes.set_xlabel("t-SNE 1, turned")
        axes.set_ylabel("t-SNE 2, turned")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def rows_by_name(points: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """For each trajectory the row positions of its points, by step."""
    found = {}
    for name in names:
        own = np.flatnonzero((points["trajectory"] == name).to_numpy())
        found[name] = own[np.argsort(points["step"].to_numpy(dtype=float)[own], kind="stable")]
    return found


def _path(axes: Axes, path: np.ndarray, colour: str, size: float = 14) -> None:
    shade = style.fade(colour, np.linspace(0, 1, len(path)))
    segments = list(np.stack([path[:-1], path[1:]], axis=1))
    axes.add_collection(LineCollection(segments, colors=shade[1:], linewidths=1.0, zorder=2))
    axes.scatter(*path.T, s=size, c=shade, linewidths=0, zorder=3)
    axes.scatter(*path[-1], s=3 * size, c=[colour], edgecolors=style.INK, linewidths=0.9, zorder=4)


def _largest_step(rows: Mapping[str, np.ndarray], kl: np.ndarray | None) -> float:
    if kl is None:
        return 1.0
    return max(float(kl[m[:-1], m[1:]].max()) for m in rows.values()) or 1.0


def _widths(members: np.ndarray, kl: np.ndarray | None, widest: float) -> np.ndarray:
    if kl is None:
        return np.full(len(members) - 1, 1.0)
    return 0.6 + 3.0 * np.sqrt(kl[members[:-1], members[1:]] / widest)
