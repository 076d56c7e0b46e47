"""Figures: the tree that a lineage claims, with KL and its standard error on every edge."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.lineage.lineage_map import marker_of
from mlflow_modelmap.words.value_and_error import with_error

_ROW = 0.3
_TALLEST = 40.0


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
        float(np.clip(_ROW * rows + 1.5, 2.6, _TALLEST)),
    )
    axes = style.panel(made)
    headline(
        made,
        "How far is each child from its parent?",
        "Numbers: KL divergence to the parent (bits/byte) ± its standard error."
        + " Dotted: merge." * bool((shown["relation"].fillna("") == "merge").any()),
    )
    small = float(np.clip(8.0 * _TALLEST / (_ROW * rows + 1.0), 3.0, 8.0))
    colour = style.colours(table["root"])
    for row in shown.dropna(subset=["parent"]).itertuples():
        if row.parent not in height or row.child not in height:
            continue
        x0, y0 = generation[row.parent], height[row.parent]
        x1, y1 = generation[row.child], height[row.child]
        merge = str(row.relation) == "merge"
        axes.plot(
            [x0, x1 - 0.5, x1 - 0.45, x1],
            [y0, y0, y1, y1] if x1 - x0 == 1 else [y0, y1, y1, y1],
            color=style.OTHERS,
            linewidth=1.0,
            linestyle=":" if merge else "-",
            zorder=1,
        )
        if not merge:
            axes.annotate(
                with_error(row.kl, row.se),
                (x1 - 0.04, y1),
                xytext=(0, 1.5),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=small - 1,
                color=style.INK if np.isfinite(row.kl) else style.QUIET_INK,
                path_effects=[withStroke(linewidth=2.0, foreground="white")],
            )
    for model, x in generation.items():
        root = table.loc[table["child"] == model, "root"].iloc[0]
        axes.plot(
            x, height[model], marker=marker_of(x), color=style.colour_of(root, colour), markersize=5
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
    axes.set_xlabel("generation (steps from the root)")
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    return made


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
