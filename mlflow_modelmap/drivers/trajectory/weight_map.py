"""Driver: the map of each training's checkpoints in weight space, turned alike (Figure 10)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.trajectory.selection import WeightTables
from mlflow_modelmap.figures.trajectory.weight_map import weights_map_figure
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.numerics.trajectory.alignment import aligned, classical_scaling

_LATE = 43 / 143
"""The share of a training that the paper draws, its last."""
_FEWEST = 8


def weight_map(
    weight_tables: WeightTables, colours: dict[str, str], perplexity: float, seed: int
) -> Figure | None:
    """The late part of each training, where all its pairs are known; None where none is.

    Each is embedded by itself, which leaves its orientation to chance: `aligned` turns it so that
    training runs to the right.
    """
    paths, shown = {}, {}
    for name in colours:
        if name not in weight_tables:
            continue
        steps, squared = weight_tables[name]
        late = steps >= steps[-1] - _LATE * (steps[-1] - steps[0])
        late = late if late.sum() >= _FEWEST else np.ones(len(steps), dtype=bool)
        table = squared[np.ix_(late, late)]
        if late.sum() < _FEWEST or not np.isfinite(table).all():
            continue
        embedded = tsne(classical_scaling(table, 3), 2, perplexity, seed, kl=table)
        if embedded.perplexity is not None:
            paths[name], shown[name] = aligned(embedded.coordinates), steps[late]
    return weights_map_figure(paths, shown, colours) if paths else None
