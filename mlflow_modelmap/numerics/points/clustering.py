"""Numerics: the tree of points by which a heatmap puts near ones together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
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
