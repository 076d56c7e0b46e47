"""Figures: models across their layers - KL profiles and trajectories (Figures 2c, 16 to 18)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, MOST_BANDS, exact_interval, kl_interval
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.scales import show_zero, symlog

CLIPPED_SHARE = 0.05
"""Share of the lowest mean log-likelihoods that share one colour (Figure 16)."""

_NO_TYPE = f"model type {style.NOT_GIVEN}"

Colouring = Literal["depth", "mean_log_likelihood"]


def layer_profiles(profiles: pd.DataFrame) -> Figure:
    """KL between adjacent layers, a line a model with its band, a panel a type (Figure 17).

    Parameters
    ----------
    profiles
        Columns ``model``, ``model_type``, ``layer`` (the deeper of the two), ``kl``, ``se``.
    """
    by_type = profiles.assign(model_type=profiles["model_type"].fillna(_NO_TYPE))
    panels = Panels(style.groups(by_type["model_type"]), (4.2, 3.4), (2.4, 0.5))
    models = list(dict.fromkeys(profiles["model"]))
    colours = style.colours(models)
    for position, kind in panels:
        axes = panels.axes(position, title=kind)
        for model, line in by_type[by_type["model_type"] == kind].groupby("model"):
            line = line.sort_values("layer")
            at = line["layer"].to_numpy(dtype=float)
            colour = style.colour_of(model, colours)
            axes.plot(at, line["kl"], color=colour, lw=1.4, marker="o", ms=3)
            if len(colours) <= MOST_BANDS:
                low, high = kl_interval(line["kl"], line["se"])
                axes.fill_between(at, low, high, color=colour, alpha=0.22, lw=0)
        symlog(axes)
        show_zero(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer (0: embeddings)")
        axes.set_ylabel(style.KL_LABEL)
    title = "Where in a model does its prediction change? KL of each layer from the one before"
    headline(panels.figure, title)
    said = f"model (band: {INTERVAL})" if len(colours) <= MOST_BANDS else "model"
    style.legend(panels.figure, colours, title=said, lines=True)
    return panels.figure


def exact_profiles(exact: pd.DataFrame) -> Figure:
    """Exact KL of each layer from the last, a line a model with its band, a panel a type.

    Parameters
    ----------
    exact
        Columns ``model``, ``model_type``, ``layer``, ``forward``, ``forward_se`` (bits/byte), and
        ``texts`` where it is known over how many. A layer that says just what the last one says
        (0) has no place on the logarithmic axis.
    """
    by_type = exact.assign(model_type=exact["model_type"].fillna(_NO_TYPE))
    panels = Panels(style.groups(by_type["model_type"]), (4.2, 3.4), (2.4, 0.5))
    colours = style.colours(dict.fromkeys(exact["model"]))
    for position, kind in panels:
        axes = panels.axes(position, title=kind)
        for model, line in by_type[by_type["model_type"] == kind].groupby("model"):
            line = line[line["forward"] > 0].sort_values("layer")
            kl = line["forward"].to_numpy(dtype=float)
            at = line["layer"].to_numpy(dtype=float)
            colour = style.colour_of(model, colours)
            axes.plot(at, kl, color=colour, lw=1.4, marker="o", ms=3)
            if len(colours) <= MOST_BANDS:
                texts = line.get("texts")
                low, high = exact_interval(kl, line["forward_se"], texts)
                low = np.maximum(low, 0.1 * kl)  # an axis of powers has no 0
                axes.fill_between(at, low, high, color=colour, alpha=0.22, lw=0)
        axes.set_yscale("log")
        numbers = FuncFormatter(lambda value, _: style.number(value))
        axes.yaxis.set_major_formatter(numbers)
        low, high = axes.get_ylim()
        axes.yaxis.set_minor_formatter(numbers if high < 10 * low else NullFormatter())
        axes.tick_params(which="minor", labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer (0: embeddings)")
        axes.set_ylabel(f"exact {style.KL_LABEL}")
    headline(
        panels.figure, "How near is each layer to what the model says? Exact KL(last || layer)"
    )
    said = f"model (band: {INTERVAL})" if len(colours) <= MOST_BANDS else "model"
    style.legend(panels.figure, colours, title=said, lines=True)
    return panels.figure


def layer_trajectories(
    points: pd.DataFrame, coordinates: np.ndarray, by: Colouring, *, by_tsne: bool = True
) -> Figure:
    """Models as lines through their layers in 2D or 3D; a white square is the last layer.

    Parameters
    ----------
    points
        One row a point: ``model``, ``model_type``, ``layer``, ``mean_log_likelihood`` (nats).
    coordinates
        Shape (K, 2) or (K, 3).
    by
        Colour by ``depth`` (earlier is paler, in the colour of the model's type) or by
        ``mean_log_likelihood``, the lowest 5 percent of which share one colour.
    by_tsne
        Whether the coordinates are those of t-SNE; of few points they are principal components.
    """
    dimensions = coordinates.shape[1]
    figure = style.figure(7.8, 6.0)
    solid: dict[str, Any] = {"projection": "3d"} if dimensions == 3 else {}
    axes = style.panel(figure, **solid)
    points = points.reset_index(drop=True)
    labels = points["model_type"]
    colours = style.colours(labels)
    values = points["mean_log_likelihood"].to_numpy(dtype=float)
    norm = Normalize(np.quantile(values, CLIPPED_SHARE), values.max())
    shade = ScalarMappable(norm, style.SEQUENTIAL)
    for _, rows in points.groupby("model", sort=False):
        order = rows.sort_values("layer").index.to_numpy()
        path = coordinates[order]
        if by == "depth":
            depth = np.linspace(0, 1, len(order))
            found = style.fade(style.colour_of(labels[order[0]], colours), depth)
        else:
            found = [tuple(colour) for colour in shade.to_rgba(values[order])]
        _path(axes, path, found)
        axes.scatter(
            *path[-1], marker="s", s=34, facecolor="white", edgecolor=style.INK, lw=1.1, zorder=5
        )
    axes.autoscale_view()
    names = [style.embedded_axis(axis, by_tsne) for axis in (1, 2, 3)]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    if dimensions == 3:
        axes.set_zlabel(names[2])
        axes.set_box_aspect(None, zoom=0.88)
    if by == "depth":
        style.legend(figure, colours, title="model type", lines=True, labels=labels)
        said = "Paler: earlier layer; white square: the last."
    else:
        bar = figure.colorbar(shade, ax=axes, shrink=0.8, pad=0.1 if dimensions == 3 else 0.02)
        bar.set_label("mean log-likelihood (nats per text)", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        said = "White square: the last layer. The lowest 5 % share one colour."
    headline(figure, "How does a model's prediction move from layer to layer?", said)
    return figure


def _path(axes: Any, path: np.ndarray, colours: list[Any]) -> None:
    """A polyline whose segments take the colour of the point they lead to."""
    segments = np.stack([path[:-1], path[1:]], axis=1)
    collection = LineCollection if path.shape[1] == 2 else Line3DCollection
    axes.add_collection(collection(list(segments), colors=colours[1:], linewidths=1.2))
    axes.scatter(*path.T, s=12, c=colours, linewidths=0, zorder=3)
