"""Driver: what a map keeps of the KL divergences between all its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.map.model_map import LARGE, NEAREST, Squares
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.points.all_neighbours import all_neighbours, median_kl
from mlflow_modelmap.numerics.points.clustering import (
    OrderedKL,
    averaged,
    in_order,
    leaves,
    tree_of_distances,
)
from mlflow_modelmap.numerics.points.identical import first_identical
from mlflow_modelmap.numerics.points.neighbours import nearest, neighbours_table


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of the K points of a map.

    Attributes
    ----------
    squares
        KL and its standard errors; None above `LARGE` points.
    near
        Above `LARGE` points the nearest others of each, as many as t-SNE asks for: rows and KL in
        bits/byte, shape (K, k); of those that differ, where some are identical.
    nearest
        The table of that name.
    ordered
        What the heatmap shows.
    summary
        Metrics of the map's run.
    """

    squares: Squares | None
    near: tuple[np.ndarray, np.ndarray] | None
    nearest: pd.DataFrame
    ordered: OrderedKL
    summary: dict[str, float]


def pairs_of(q: np.ndarray, sampling: Sampling, names: Sequence[str], perplexity: float) -> Pairs:
    """The pairs of a map's points.

    Parameters
    ----------
    q
        Coordinates, shape (K, N), K >= 2.
    sampling
        Of the texts.
    names
        K unique names.
    perplexity
        Of t-SNE, which looks at three times as many neighbours.
    """
    if len(q) > LARGE:
        return _many(q, sampling, names, perplexity)
    squares = Squares(
        *(
            pd.DataFrame(values, index=list(names), columns=list(names))
            for values in kl_with_standard_error(q, sampling)
        )
    )
    return of_squares(squares)


def of_squares(squares: Squares) -> Pairs:
    """The pairs of a map whose tables are at hand."""
    kl = squares.kl.to_numpy()
    above = np.triu_indices(len(kl), 1)
    flat = kl[above]
    return Pairs(
        squares=squares,
        near=None,
        nearest=nearest(squares.kl, squares.se, NEAREST),
        ordered=in_order(kl),
        summary={
            "median_kl": float(np.median(flat)),
            "smallest_kl": float(flat.min()),
            "largest_kl": float(flat.max()),
            "largest_standard_error": float(squares.se.to_numpy()[above].max()),
        },
    )


def _many(q: np.ndarray, sampling: Sampling, names: Sequence[str], perplexity: float) -> Pairs:
    wanted = max(NEAREST, int(np.ceil(3 * min(perplexity, (len(q) - 1) / 3))))
    found = all_neighbours(q, sampling, wanted)
    order = leaves(tree_of_distances(found.distances))
    own, differ = np.unique(first_identical(q)), found
    if len(own) < len(q):
        differ = all_neighbours(q[own], sampling, wanted)
    return Pairs(
        squares=None,
        near=(differ.neighbours, differ.kl),
        nearest=neighbours_table(
            names, found.neighbours[:, :NEAREST], found.kl[:, :NEAREST], found.se[:, :NEAREST]
        ),
        ordered=averaged(q, order),
        summary={
            "median_kl": median_kl(found.distances),
            "smallest_kl": found.smallest,
            "largest_kl": found.largest,
            "largest_standard_error": found.largest_se,
        },
    )
