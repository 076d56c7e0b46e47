"""Figures: models and their quantised copies - how far they move and which way (Figure 2a)."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, kl_interval, lengths
from mlflow_modelmap.figures.scales import from_zero
from mlflow_modelmap.words.natural_order import natural

_PRECISION_MARKERS = {"int8": "s", "nf4": "^", "fp4": "v"}
_WITH_THRESHOLD = "D"
"""Of int8 copies whose outliers were kept apart (``int8 threshold 6``)."""
_STORED_MARKERS = ("P", "X", "<", ">", "h", "p", "*")
"""Of what was stored quantised (``Q4_K_M``, ``gptq-int4``), in order of the names."""
_PLAIN = ("", "float16", "bfloat16", "float32", "float64")

_EXACT = "exact KL(original || copy), over all tokens"
_EXACT_MARK = {"facecolor": "white", "edgecolor": style.INK, "linewidths": 1.0, "zorder": 5}


def quantised_map(
    points: pd.DataFrame, coordinates: np.ndarray, pairs: pd.DataFrame, *, by_tsne: bool = True
) -> Figure:
    """Originals as discs, copies as other markers, a line from each original to its copies.

    Parameters
    ----------
    points
        One row a point: ``point``, ``model_type``, ``precision``.
    coordinates
        Shape (K, 2).
    pairs
        Columns ``original`` and ``copy``: names of points.
    by_tsne
        Whether the coordinates are those of t-SNE; of few points they are principal components.
    """
    figure = style.figure(7.6, 5.8)
    axes = style.panel(figure)
    headline(figure, "Do quantised copies stay near their originals? A line joins the two")
    labels = points["model_type"]
    colours = style.colours(labels)
    where = dict(zip(points["point"], coordinates, strict=True))
    kind = dict(zip(points["point"], labels, strict=True))
    for original, copy in zip(pairs["original"], pairs["copy"], strict=True):
        line = np.stack([where[original], where[copy]])
        axes.plot(*line.T, color=style.colour_of(kind[original], colours), lw=1.0, alpha=0.7)
    marks = _markers(points["precision"])
    for precision, rows in points.groupby(points["precision"].fillna("")):
        marker = marks.get(str(precision), "o")
        index = rows.index.to_numpy()
        axes.scatter(
            *coordinates[index].T,
            marker=marker,
            s=30 if marker == "o" else 34,
            c=[style.colour_of(label, colours) for label in labels[index]],
            edgecolor="white" if marker == "o" else style.INK,
            linewidths=0.6,
            zorder=3,
        )
    axes.set_xlabel(style.embedded_axis(1, by_tsne))
    axes.set_ylabel(style.embedded_axis(2, by_tsne))
    style.legend(axes, colours, title="model type", labels=labels)
    handles = [Line2D([], [], marker="o", linestyle="", color=style.INK, label="original")]
    handles += [
        Line2D([], [], marker=mark, linestyle="", color=style.INK, label=style.plain(p, 24))
        for p, mark in marks.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=8,
    )
    return figure


def _markers(precisions: pd.Series) -> dict[str, str]:
    """A marker for each precision of quantised copies, in the order in which they are drawn."""
    copies = {str(p) for p in precisions.dropna()} - {*_PLAIN}
    order = list(_PRECISION_MARKERS)
    made = [p for p in copies if p.split(" ")[0] in order]
    made.sort(key=lambda p: (order.index(p.split(" ")[0]), p))
    stored = sorted(copies - {*made}, key=natural)
    return {p: _PRECISION_MARKERS.get(p, _WITH_THRESHOLD) for p in made} | dict(
        zip(stored, cycle(_STORED_MARKERS), strict=False)
    )


def quantisation_bars(pairs: pd.DataFrame) -> Figure:
    """KL between each model and its quantised copies, with 95 % intervals.

    Parameters
    ----------
    pairs
        Columns ``model``, ``precision``, ``kl``, ``se``.
    """
    models = list(dict.fromkeys(pairs["model"]))
    precisions = list(_markers(pairs["precision"]))
    figure = style.figure(7.6, max(2.7, 1.6 + (0.18 * len(precisions) + 0.12) * len(models)))
    axes = style.panel(figure)
    thickness = 0.8 / max(len(precisions), 1)
    colours = style.colours(precisions)
    ends: list[float] = []
    for offset, precision in enumerate(precisions):
        rows = pairs[pairs["precision"] == precision].groupby("model")[["kl", "se"]].first()
        present = [model for model in models if model in rows.index]
        heights = [models.index(m) + (offset + 0.5) * thickness - 0.4 for m in present]
        kl = rows.loc[present, "kl"].to_numpy(dtype=float)
        interval = kl_interval(kl, rows.loc[present, "se"])
        ends += list(interval[1])
        axes.barh(
            heights,
            kl,
            thickness * 0.92,
            xerr=lengths(kl, interval),
            color=colours[precision],
            error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": style.INK},
        )
        if "exact_forward" in pairs:
            exact = pairs[pairs["precision"] == precision].groupby("model")["exact_forward"].first()
            axes.scatter(exact.loc[present], heights, marker="D", s=22, **_EXACT_MARK)
    axes.set_yticks(range(len(models)), [style.plain(m, 34) for m in models])
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.grid(False, axis="y")
    amounts = pairs["kl"]
    if "exact_forward" in pairs:
        amounts = pd.concat([amounts, pairs["exact_forward"]])
    cut = from_zero(axes, amounts, [*ends, *amounts])
    axes.set_xlabel(f"{style.KL_LABEL} from the original (line: {INTERVAL})")
    said = f"Diamond: {_EXACT}. " if "exact_forward" in pairs else ""
    headline(figure, "How far does quantisation move each model?", f"{said}{cut}".strip())
    style.legend(axes, colours, title="precision")
    return figure


def alignment_figure(by_type: pd.DataFrame, trials: int) -> Figure:
    """Mean cosine similarity of the changes within each type, against random groups.

    Parameters
    ----------
    by_type
        As `numerics.points.directions.alignment` gives it.
    trials
        Random groups drawn a type.
    """
    figure = style.figure(6.8, max(2.8, 1.9 + 0.42 * len(by_type)))
    axes = style.panel(figure)
    headline(figure, "Does quantisation push models of one type the same way? 1: yes")
    heights = np.arange(len(by_type))
    axes.hlines(
        heights, by_type["random_low"], by_type["random_high"], color=style.OTHERS, lw=6, alpha=0.6
    )
    axes.scatter(by_type["random_mean"], heights, color=style.OTHERS, marker="|", s=120, zorder=3)
    axes.hlines(heights, by_type["low"], by_type["high"], color=style.PALETTE[0], lw=1.4)
    axes.scatter(by_type["mean"], heights, color=style.PALETTE[0], s=42, zorder=4)
    names = [
        f"{style.plain(kind, 24)} ({models} models)"
        for kind, models in zip(by_type["model_type"], by_type["models"], strict=True)
    ]
    axes.set_yticks(heights, names)
    axes.set_ylim(len(by_type) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.set_xlim(min(-0.05, float(by_type[["low", "random_low"]].min().min()) - 0.05), 1.03)
    axes.set_xlabel("cosine similarity of the changes by quantisation (no unit)")
    handles = [
        Line2D(
            [], [], color=style.PALETTE[0], marker="o", label="pairs within the type: mean, range"
        ),
        Line2D(
            [],
            [],
            color=style.OTHERS,
            lw=6,
            alpha=0.6,
            label=f"95 % of {trials} random groups of other types",
        ),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    return figure
