"""Figures: parents and children on a map (Figure 2b), the claimed tree, and the measured one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map.map import label_points
from mlflow_modelmap.numerics.lineage.measured_tree import Tree

GENERATION_MARKERS = ("s", "o", "^", "D", "v", "P", "X")
UNORDERED_MARKER = "x"
_ROW = 0.3
_TALLEST = 40.0
_LABELLED = 40


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
    axes = style.panel(made, title="Parents and children")
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
    shown = points["generation"].map(_marker)
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
    axes.set_xlabel("t-SNE 1")
    axes.set_ylabel("t-SNE 2")
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    _legends(made, colour, points["generation"], table)
    if len(points) <= _LABELLED:
        label_points(
            axes, points["tsne2_1"].to_numpy(), points["tsne2_2"].to_numpy(), points["point"]
        )
    return made


def _legends(
    made: Figure, colour: dict[str, str], generations: pd.Series, table: pd.DataFrame
) -> None:
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=_marker(generation),
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
            for name, shade in list(colour.items())[:20]
        ]
    made.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)


def _marker(generation: object) -> str:
    if generation is None or pd.isna(generation):  # type: ignore[call-overload]
        return UNORDERED_MARKER
    return GENERATION_MARKERS[min(int(str(generation)), len(GENERATION_MARKERS) - 1)]


def lineage_tree(table: pd.DataFrame) -> Figure:
    """The claimed tree, roots to the left, with KL and its standard error on every edge.

    Parameters
    ----------
    table
        Columns child, parent, generation, kl, se, relation; what is on a cycle is not drawn.
    """
    shown = table[table["generation"].notna()]
    generation = shown.drop_duplicates("child").set_index("child")["generation"].astype(int)
    first = shown.drop_duplicates("child").set_index("child")["parent"]
    height = _rows(generation, first)
    deepest = int(generation.max()) if len(generation) else 0
    rows = 1 + max(height.values(), default=0.0)
    made = style.figure(
        float(np.clip(2.9 * (deepest + 1) + 0.6, 6.0, 24.0)),
        float(np.clip(_ROW * rows + 1.0, 2.2, _TALLEST)),
    )
    axes = style.panel(made, title="Lineage, with KL to the parent in bits/byte")
    small = float(np.clip(8.0 * _TALLEST / (_ROW * rows + 1.0), 3.0, 8.0))
    colour = style.colours(table["root"])
    for row in shown.dropna(subset=["parent"]).itertuples():
        if row.parent not in height or row.child not in height:
            continue
        x0, y0 = generation[row.parent], height[row.parent]
        x1, y1 = generation[row.child], height[row.child]
        merge = str(row.relation) == "merge"
        axes.plot(
            [x0, x1 - 0.42, x1 - 0.34, x1],
            [y0, y0, y1, y1] if x1 - x0 == 1 else [y0, y1, y1, y1],
            color=style.OTHERS,
            linewidth=1.0,
            linestyle=":" if merge else "-",
            zorder=1,
        )
        if not merge:
            axes.annotate(
                _value(row.kl, row.se),
                (x1 - 0.04, y1),
                xytext=(0, 1.5),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=small - 1,
                color=style.INK if np.isfinite(row.kl) else style.QUIET_INK,
            )
    for model, x in generation.items():
        root = table.loc[table["child"] == model, "root"].iloc[0]
        axes.plot(
            x, height[model], marker=_marker(x), color=style.colour_of(root, colour), markersize=5
        )
        axes.annotate(
            style.plain(model, 26),
            (float(x), height[model]),
            xytext=(5, -1.5),
            textcoords="offset points",
            va="top",
            fontsize=small,
            color=style.INK,
        )
    axes.set_ylim(rows - 0.2, -0.8)
    axes.set_xlim(-0.15, deepest + 0.95)
    axes.set_xticks(range(deepest + 1))
    axes.set_xlabel("generation")
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    return made


def _value(kl: float, se: float) -> str:
    """KL to the last digit that its standard error leaves standing."""
    if not np.isfinite(kl):
        return "not measured"
    if not 1e-4 <= se < 1.0:
        return f"{style.number(kl)} ± {style.number(se, 1)}"
    decimals = int(np.ceil(-np.log10(se * 1.0000001)))
    return f"{kl:.{decimals}f} ± {se:.{decimals}f}"


def _rows(generation: pd.Series, first: pd.Series) -> dict[str, float]:
    """A row for every model: leaves one below the other, a parent in the middle of its children."""
    children: dict[str, list[str]] = {}
    roots = []
    for model in generation.index:
        parent = first[model]
        if pd.isna(parent) or parent not in generation.index:
            roots.append(model)
        else:
            children.setdefault(parent, []).append(model)
    rows: dict[str, float] = {}
    free = 0
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        model, ready = stack.pop()
        below = children.get(model, [])
        if ready:
            rows[model] = float(np.mean([rows[c] for c in below]))
        elif below:
            stack.append((model, True))
            stack += [(child, False) for child in reversed(below)]
        else:
            rows[model] = float(free)
            free += 1
    return rows


def measured_tree_figure(
    tree: Tree, names: Sequence[str], roots: Mapping[str, str | None]
) -> Figure:
    """The neighbour-joining tree, rooted in the middle of its longest path.

    Parameters
    ----------
    tree
        From `numerics.lineage.measured_tree.neighbour_joining`.
    names
        Of its models.
    roots
        Claimed root of each model, which only colours its name.
    """
    rows = len(names)
    size = float(np.clip(0.22 * rows + 1.2, 2.4, _TALLEST))
    made = style.figure(7.4, size)
    axes = style.panel(made, title="Tree from KL divergences alone (neighbour joining)")
    depth, order, above = _rooted(tree)
    colour = style.colours([roots.get(name) for name in names])
    height: dict[int, float] = {}
    free = 0
    for node in reversed(order):
        below = [n for n in order if above[n] == node]
        if below:
            height[node] = float(np.mean([height[n] for n in below]))
        else:
            height[node] = float(free)
            free += 1
    for node in order:
        below = [n for n in order if above[n] == node]
        if below:
            ends = [height[n] for n in below]
            axes.plot([depth[node]] * 2, [min(ends), max(ends)], color=style.INK, linewidth=0.9)
        for n in below:
            axes.plot([depth[node], depth[n]], [height[n]] * 2, color=style.INK, linewidth=0.9)
    small = float(np.clip(8.0 * _TALLEST / (0.22 * rows + 1.2), 3.0, 8.0))
    for node, name in enumerate(names):
        axes.annotate(
            style.plain(name, 40),
            (depth[node], height[node]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=small,
            color=style.colour_of(roots.get(name), colour),
        )
    longest = max(depth.values(), default=0.0) or 1.0
    axes.set_xlim(-0.02 * longest, 1.45 * longest)
    axes.set_ylim(free - 0.4, -0.6)
    axes.set_xlabel("branch length, KL divergence (bits/byte)")
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    return made


def _rooted(tree: Tree) -> tuple[dict[int, float], list[int], dict[int, int]]:
    """Depth of every node, nodes from the root on, and the one above each (the root: -1).

    The root is a new node in the middle of the longest path between two models.
    """
    neighbours: dict[int, list[tuple[int, float]]] = {0: []}
    for (a, b), length in zip(tree.edges.tolist(), tree.lengths.tolist(), strict=True):
        neighbours.setdefault(a, []).append((b, length))
        neighbours.setdefault(b, []).append((a, length))
    far = max((d := _depths(neighbours, 0)[0]), key=lambda n: d[n] if n < tree.models else -1)
    depths, _, above = _depths(neighbours, far)
    end = max(depths, key=lambda n: depths[n] if n < tree.models else -1)
    half, node = depths[end] / 2, end
    while above[node] >= 0 and depths[above[node]] > half:
        node = above[node]
    other = above[node]
    if other >= 0:
        middle = max(neighbours) + 1
        neighbours[node] = [e for e in neighbours[node] if e[0] != other]
        neighbours[other] = [e for e in neighbours[other] if e[0] != node]
        neighbours[middle] = []
        for n, length in ((node, depths[node] - half), (other, half - depths[other])):
            neighbours[middle].append((n, length))
            neighbours[n].append((middle, length))
        node = middle
    return _depths(neighbours, node)


def _depths(
    neighbours: Mapping[int, Sequence[tuple[int, float]]], start: int
) -> tuple[dict[int, float], list[int], dict[int, int]]:
    depth, above, order = {start: 0.0}, {start: -1}, []
    stack = [start]
    while stack:
        node = stack.pop()
        order.append(node)
        for other, length in neighbours[node]:
            if other != above[node]:
                depth[other], above[other] = depth[node] + length, node
                stack.append(other)
    return depth, order, above
