"""Driver: the pictures of a model map, as PNG figures and as a page to explore."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.map.model_map import ModelMap
from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map.bars import bars_figure
from mlflow_modelmap.figures.map.heatmap import heatmap_figure
from mlflow_modelmap.figures.map.interactive_map import interactive_map
from mlflow_modelmap.figures.map.map import (
    WORDS,
    ColourBy,
    colour_column,
    map_figure,
    paths,
    shades,
)
from mlflow_modelmap.numerics.divergence.carried import effective_texts
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.points.clustering import OrderedKL
from mlflow_modelmap.words.vectors import of_vectors


def pictures(
    made: ModelMap, ordered: OrderedKL, colour_by: ColourBy = "auto"
) -> tuple[dict[str, Figure], str]:
    """The figures of a map by file name, and its interactive page.

    Without a t-SNE (fewer than four points) there is no figure of one.

    Parameters
    ----------
    made
        The map.
    ordered
        What its heatmap shows.
    colour_by
        What the colours say.
    """
    points = made.points

    def kl(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return kl_pairs(made.coordinates, i, j)[0]

    column = colour_column(points, colour_by)
    grouping: dict[str, Any] = {
        "groups": points[column].tolist() if column else None,
        "groups_title": WORDS[column] if column else None,
    }
    of = f"{len(points):,} points, {made.texts:,} texts"
    kind = of_vectors(made.vector)
    name = f" ({_short(made.text_set_name)})" if made.text_set_name else ""
    figures = {
        "map_pca": map_figure(
            points,
            "pca",
            colour_by=colour_by,
            said=f"PCA of {of}{kind}{name}",
            explained=made.explained,
            kl=kl,
        ),
        "kl_heatmap": heatmap_figure(
            ordered,
            points["point"].tolist(),
            said=f"{of[0].upper()}{of[1:]}{kind}{name}.",
            **grouping,
        ),
        "bits_per_byte": bars_figure(
            points["point"].tolist(),
            points["bits_per_byte"].to_numpy(),
            points["bits_per_byte_se"].to_numpy(),
            shades=shades(points, paths(points)),
            texts=min(effective_texts(made.weights, made.texts), made.documents or made.texts),
            said=f"On {made.texts:,} texts{name}.",
            **grouping,
        ),
    }
    subtitle = (
        f"{made.texts:,} texts{name}, whose entropy is at most {made.entropy_bound:.3f} bits/byte"
    )
    if made.perplexity is not None:
        subtitle += f" · t-SNE with perplexity {made.perplexity:.3g}"
        figures["map_tsne"] = map_figure(
            points, "tsne", colour_by=colour_by, said=f"t-SNE of {of}{kind}{name}", kl=kl
        )
    page = interactive_map(
        points,
        made.nearest,
        title=f"Model map{kind} of {len(points):,} points",
        subtitle=subtitle,
        explained=made.explained,
        colour_by=colour_by,
        with_tsne=made.perplexity is not None,
        notices=made.notices,
    )
    return figures, page


def _short(name: str | None) -> str:
    return style.plain(name or "", 28).replace(r"\$", "$")
