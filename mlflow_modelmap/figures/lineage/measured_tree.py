"""Figures: the tree that KL divergences alone give (neighbour joining)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.numerics.lineage.measured_tree import Tree

_TALLEST = 40.0


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
    size = float(np.clip(0.22 * rows + 1.7, 2.6, _TALLEST))
    made = style.figure(7.8, size)
    axes = style.panel(made)
    headline(
        made,
        "Which models are relatives, by their KL divergences alone?",
        "Tree by neighbour joining, rooted in the middle of its longest path.",
    )
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
    axes.set_xlabel(f"length of the branches, {style.KL_LABEL}")
    if len(colour) > 1 or not all(style.is_group(roots.get(name)) for name in names):
        labels = [roots.get(name) for name in names]
        style.legend(made, colour, title="claimed root", labels=labels)
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
