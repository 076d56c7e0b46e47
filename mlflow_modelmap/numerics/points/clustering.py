"""Numerics: the order in which a heatmap shows points, so that near ones stand together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

_OPTIMAL = 2000


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
    condensed = squareform(distances, checks=False)
    return linkage(condensed, method="average", optimal_ordering=len(distances) <= _OPTIMAL)


def heatmap_order(kl: ArrayLike) -> np.ndarray:
    """Positions of the points in the order of their tree's leaves, shape (K,)."""
    points = len(np.asarray(kl))
    return leaves_list(tree(kl)) if points > 1 else np.arange(points)
