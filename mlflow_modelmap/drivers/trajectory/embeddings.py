"""Driver: where checkpoints are placed to be looked at - t-SNE and PCA - and those pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.figures.map.map import COORDINATES, map_figure
from mlflow_modelmap.figures.trajectory.embedding_3d import map_3d_figure
from mlflow_modelmap.figures.trajectory.path import rows_by_name
from mlflow_modelmap.figures.trajectory.pca import pca_pairs_figure, pca_steps_figure
from mlflow_modelmap.numerics.points.embedding import pca, tsne

COMPONENTS = 12


class Placed(NamedTuple):
    """Pictures of placed checkpoints by file name, and where they are.

    `columns` are coordinates, shape (K,) each, by column of the points; `deep` are t-SNEs in three
    dimensions, shape (K, 3), by perplexity, that of the map first.
    """

    figures: dict[str, Figure]
    columns: dict[str, np.ndarray]
    deep: dict[float, np.ndarray]
    notices: tuple[str, ...]


def place(
    study: TrajectoryStudy,
    colours: dict[str, str],
    perplexity: float,
    perplexities: tuple[float, ...],
    seed: int,
) -> Placed:
    """t-SNE in 2D and 3D and principal components of all checkpoints, drawn."""
    kl, points = study.kl.to_numpy(), study.points
    rows = rows_by_name(points, list(colours))
    steps = {
        name: points["step"].to_numpy(dtype=np.int64)[members] for name, members in rows.items()
    }
    count = min(COMPONENTS, len(points) - 1)
    components = pca(study.coordinates, count)
    columns = {f"pca_{k + 1}": components.coordinates[:, k] for k in range(count)}
    figures: dict[str, Figure] = {}
    flat = tsne(study.coordinates, 2, perplexity, seed, kl=kl)
    deep: dict[float, np.ndarray] = {}
    for value in dict.fromkeys((perplexity, *perplexities)):
        found = tsne(study.coordinates, 3, value, seed, kl=kl)
        if found.perplexity is not None:
            deep.setdefault(found.perplexity, found.coordinates)
    columns |= dict(zip(COORDINATES["tsne", 2], flat.coordinates.T, strict=True))
    if flat.perplexity is not None:
        figures["map_2d"] = map_figure(
            points.assign(**columns),
            colour_by="trajectory",
            title="Where does each training go? Close checkpoints predict the texts alike",
            said=f"t-SNE with perplexity {flat.perplexity:.3g}",
            kl=kl,
        )
    if deep:
        first = next(iter(deep.values()))
        columns |= dict(zip(COORDINATES["tsne", 3], first.T, strict=True))
        figures["map_3d"] = map_3d_figure(first, rows, colours, kl)
    figures["pca_pairs"] = pca_pairs_figure(
        components.coordinates, components.explained, rows, colours
    )
    figures["pca_steps"] = pca_steps_figure(
        components.coordinates, components.explained, rows, steps, colours
    )
    return Placed(figures, columns, deep, (flat.notice,) if flat.notice else ())
