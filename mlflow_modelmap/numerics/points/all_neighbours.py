"""Numerics: what a map of many points needs of all its pairs, without a table of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlflow_modelmap.numerics.divergence.pair_blocks import pair_blocks
from mlflow_modelmap.numerics.matrix.sampling import Sampling


class AllPairs(NamedTuple):
    """What is kept of all pairs of K points.

    Attributes
    ----------
    neighbours, kl, se
        Of each point the k nearest others, nearest first (of equals, the earlier one): rows, KL
        divergences and their standard errors in bits/byte, shape (K, k).
    distances
        sqrt(KL) of the pairs i < j in SciPy's condensed order, shape (K (K - 1) / 2,).
    smallest, largest, largest_se
        KL divergence, and standard error, over all pairs.
    """

    neighbours: np.ndarray
    kl: np.ndarray
    se: np.ndarray
    distances: np.ndarray
    smallest: float
    largest: float
    largest_se: float


def all_neighbours(q: np.ndarray, sampling: Sampling | None, k: int) -> AllPairs:
    """The nearest neighbours of every point, and all distances once.

    Parameters
    ----------
    q
        Coordinates, shape (K, N), K >= 2.
    sampling
        Of the texts; see `pair_blocks`.
    k
        Neighbours of each point; all others where there are fewer.
    """
    points = len(q)
    k = min(k, points - 1)
    near = Nearest(points, k)
    distances = np.empty(points * (points - 1) // 2)
    smallest, largest, largest_se = np.inf, 0.0, 0.0
    for block in pair_blocks(q, sampling):
        one, other = block.one, block.other
        same = one is other
        near.add(one, other, block.kl, block.se)
        if not same:
            near.add(other, one, block.kl.T, block.se.T)
        above = np.triu(np.ones(block.kl.shape, dtype=bool), 1) if same else slice(None)
        kl, se = block.kl[above], block.se[above]
        if kl.size:
            smallest, largest = min(smallest, float(kl.min())), max(largest, float(kl.max()))
            largest_se = max(largest_se, float(se.max()))
        for row, values in enumerate(np.sqrt(block.kl), one.start):
            first = max(other.start, row + 1)
            at = row * points - row * (row + 1) // 2 + first - row - 1
            distances[at : at + other.stop - first] = values[first - other.start :]
    return AllPairs(near.rows, near.kl, near.se, distances, smallest, largest, largest_se)


def median_kl(distances: np.ndarray) -> float:
    """The median KL over all pairs, from their distances, which are put into another order."""
    middle = (distances.size - 1) // 2, distances.size // 2
    distances.partition(middle)
    return float(np.square(distances[list(middle)]).mean())


class Nearest:
    """The nearest others of every point among the columns that were added so far.

    Attributes
    ----------
    rows, kl, se
        As in `AllPairs`; what is not known yet is infinitely far.
    """

    def __init__(self, points: int, k: int) -> None:
        self.rows = np.full((points, k), points, dtype=np.intp)
        self.kl = np.full((points, k), np.inf)
        self.se = np.full((points, k), np.nan)

    def add(self, one: slice, other: slice, kl: np.ndarray, se: np.ndarray) -> None:
        """Values of the points `one` (rows) with the points `other` (columns)."""
        columns = np.arange(other.start, other.stop)
        k = self.rows.shape[1]
        if not k:
            return
        worst = self.kl[one, -1]
        for row in np.flatnonzero((kl <= worst[:, None]).any(axis=1)):
            point = one.start + row
            new = np.flatnonzero(kl[row] <= worst[row])
            new = new[columns[new] != point]
            values = np.concatenate([self.kl[point], kl[row, new]])
            which = np.concatenate([self.rows[point], columns[new]])
            errors = np.concatenate([self.se[point], se[row, new]])
            limit = np.partition(values, k - 1)[k - 1]
            kept = np.flatnonzero(values <= limit)
            kept = kept[np.lexsort((which[kept], values[kept]))][:k]
            self.rows[point], self.kl[point] = which[kept], values[kept]
            self.se[point] = errors[kept]
