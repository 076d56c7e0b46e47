"""Numerics: the tree of points by which a heatmap puts near ones together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

_OPTIMAL = 2000

_ROUNDING = 1e-13

CELLS = 1_500
"""Rows and columns of a heatmap, beyond which a screen shows no more."""


class OrderedKL(NamedTuple):
    """KL between all points in the order of their tree, averaged where they are many.

    Attributes
    ----------
    order
        The points' rows, shape (K,).
    kl
        Bits per byte, shape (C, C): cell c holds the points of that order from K c // C to before
        K (c + 1) // C. Where C is below K it is the mean over the pairs of two different points.
    links
        The tree, shape (K - 1, 4), as SciPy's linkage; (0, 4) where it is not drawn.
    """

    order: np.ndarray
    kl: np.ndarray
    links: np.ndarray


def tree(kl: ArrayLike) -> np.ndarray:
    """Average-linkage tree of the points on sqrt(KL), which is a distance.

    Parameters
    ----------
    kl
        Bits per byte, shape (K, K), symmetric, K >= 2.

    Returns
    -------
    ndarray, shape (K - 1, 4)
        A SciPy linkage; up to 2,000 points its leaves are ordered so that neighbours are near.
    """
    distances = np.sqrt(np.asarray(kl, dtype=np.float64))
    return tree_of_distances(squareform(distances, checks=False))


def tree_of_distances(distances: np.ndarray) -> np.ndarray:
    """`tree` of sqrt(KL) in SciPy's condensed order, shape (K (K - 1) / 2,)."""
    optimal = distances.size <= _OPTIMAL * (_OPTIMAL - 1) // 2
    return linkage(distances, method="average", optimal_ordering=optimal)


def leaves(links: np.ndarray) -> np.ndarray:
    """The points in the order of a tree, shape (K,)."""
    return leaves_list(links).astype(np.intp)


def in_order(kl: np.ndarray) -> OrderedKL:
    """The points of a table of KL, shape (K, K), K >= 2, in the order of their tree."""
    links = tree(kl)
    order = leaves(links)
    return OrderedKL(order, kl[np.ix_(order, order)], links)


def averaged(q: np.ndarray, order: np.ndarray, cells: int = CELLS) -> OrderedKL:
    """The points in an order, their KL averaged to at most `cells` a side; without a tree.

    The mean KL between two groups of points is the squared distance of their means and the spread
    of each around its own: ||m_A - m_B||^2 + v_A + v_B; within a group of n it is 2 v n / (n - 1).

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    order
        Rows of `q`, shape (K,), as `leaves` gives them.
    cells
        Rows and columns at most.
    """
    points = len(q)
    cells = min(cells, points)
    starts = np.arange(cells) * points // cells
    counts = np.diff(np.append(starts, points))
    means = np.empty((cells, q.shape[1]))
    spread = np.empty(cells)
    for cell, (start, count) in enumerate(zip(starts, counts, strict=True)):
        members = q[order[start : start + count]]
        means[cell] = members.mean(axis=0)
        spread[cell] = np.square(members - means[cell]).sum() / count
    squares = np.einsum("ij,ij->i", means, means)
    scale = squares[:, None] + squares
    kl = scale - 2.0 * (means @ means.T)
    kl[kl < _ROUNDING * scale] = 0.0
    kl += spread[:, None] + spread
    own = np.divide(2.0 * spread * counts, counts - 1, out=np.zeros(cells), where=counts > 1)
    np.fill_diagonal(kl, own)
    return OrderedKL(order, kl, np.empty((0, 4)))
