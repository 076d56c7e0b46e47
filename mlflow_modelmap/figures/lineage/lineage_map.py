"""Figures: parents and children on a map, with a mark for the generation (Figure 2b)."""

from __future__ import annotations

import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.labels import label_points

GENERATION_MARKERS = ("s", "o", "^", "D", "v", "P", "X")
UNORDERED_MARKER = "x"
_LABELLED = 40
_ROOTS = 18


def lineage_map(points: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """t-SNE with a line from parent to child and a mark for the generation (Figure 2b).

    Parameters
    ----------
    points
        Columns point, root, generation, tsne2_1, tsne2_2.
    table
        Columns child, parent, relation.
    """
    made = style.figure(8.6, 5.6)
    axes = style.panel(made)
    headline(made, "Do children stay near their parents? A line from each parent to its child")
    at = points.set_index("point")[["tsne2_1", "tsne2_2"]]
    colour = style.colours(points["root"])
    for merge in (False, True):
        lines = [
            at.loc[[row.parent, row.child]].to_numpy()
            for row in table.dropna(subset=["parent"]).itertuples()
            if row.parent in at.index
            and row.child in at.index
            and (str(row.relation) == "merge") is merge
        ]
        axes.add_collection(
            LineCollection(
                lines,
                colors=style.OTHERS,
                linewidths=1.0,
                linestyles="dotted" if merge else "solid",
                zorder=1,
            )
        )
    shown = points["generation"].map(marker_of)
    for marker, part in points.groupby(shown, sort=False):
        axes.scatter(
            part["tsne2_1"],
            part["tsne2_2"],
            marker=str(marker),
            s=52,
            c=[style.colour_of(root, colour) for root in part["root"]],
            **({} if marker == UNORDERED_MARKER else {"edgecolors": "white", "linewidths": 0.7}),
            zorder=2,
        )
    axes.autoscale_view()
    axes.margins(0.08)
    axes.set_xlabel(style.tsne_axis(1))
    axes.set_ylabel(style.tsne_axis(2))
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    _legends(made, colour, points, table)
    if len(points) <= _LABELLED:
        label_points(
            axes, points["tsne2_1"].to_numpy(), points["tsne2_2"].to_numpy(), points["point"]
        )
    return made


def _legends(
    made: Figure, colour: dict[str, str], points: pd.DataFrame, table: pd.DataFrame
) -> None:
    generations = points["generation"]
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=marker_of(generation),
            color=style.QUIET_INK,
            label="no generation" if pd.isna(generation) else f"generation {generation}",
        )
        for generation in sorted(generations.dropna().unique()) + [pd.NA] * generations.hasnans
    ]
    if (table["relation"].fillna("") == "merge").any():
        handles.append(Line2D([], [], color=style.OTHERS, linestyle=":", label="merge"))
    if len(colour) > 1:
        handles += [
            Line2D([], [], linestyle="", marker="o", color=shade, label=style.plain(name, 28))
            for name, shade in list(colour.items())[:_ROOTS]
        ]
        if len(colour) > _ROOTS:
            rest = f"and {len(colour) - _ROOTS} more roots"
            handles.append(Line2D([], [], linestyle="", label=rest))
    if not all(map(style.is_group, points["root"])):
        handles.append(
            Line2D([], [], linestyle="", marker="o", color=style.OTHERS, label="no root")
        )
    made.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)


def marker_of(generation: object) -> str:
    """The mark of a generation; a cross for what has none."""
    if generation is None or pd.isna(generation):  # type: ignore[call-overload]
        return UNORDERED_MARKER
    return GENERATION_MARKERS[min(int(str(generation)), len(GENERATION_MARKERS) - 1)]
