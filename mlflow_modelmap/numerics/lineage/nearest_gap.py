"""Numerics: is another model nearer than the claimed parent, when it is the nearest of many?

Both KL come from the same texts, so what makes a text tell models apart is in both, and the error
of their difference is far below the root of the sum of squares. But the nearest was chosen because
its KL came out smallest: among 200 models that are equally near, some other one nearly always is
nearer than the parent. So the difference in its standard errors is held against what the largest
of as many would be by chance (Sidak), not against two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.05
"""How often another may be called nearer at most, where all candidates are equally near."""


def gap_and_error(
    child: ArrayLike,
    parent: ArrayLike,
    nearest: ArrayLike,
    shares: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> tuple[float, float]:
    """KL to the claimed parent less KL to the nearest candidate, and its paired standard error.

    With d and e the differences of the child's coordinates from the two, g_s = d_s^2 - e_s^2 adds
    up to the gap, and its variance is sum_s (g_s - a_s gap)^2, a the shares of the texts.

    Parameters
    ----------
    child, parent, nearest
        Rows of coordinates, shape (N,).
    shares
        Of the texts, their sum 1, shape (N,); None for 1 / N each.
    clusters
        Which document each text is of, int from 0, shape (N,); texts of one are taken together.

    Returns
    -------
    gap, se : float
        Bits per byte.
    """
    child = np.asarray(child, dtype=np.float64)
    part = (child - np.asarray(parent)) ** 2 - (child - np.asarray(nearest)) ** 2
    gap = float(part.sum())
    residual = part - gap * (1.0 / len(part) if shares is None else shares)
    if clusters is not None:
        residual = np.bincount(clusters, residual)
    return gap, float(np.sqrt(residual @ residual))


def largest_by_chance(candidates: int, texts: float, level: float = LEVEL) -> float:
    """How many standard errors the nearest of equally near candidates stays below, mostly.

    Parameters
    ----------
    candidates
        The claimed parent among them.
    texts
        How many (with weights, how many they count for; with documents, how many of those).
    level
        How often it may be exceeded at most.

    Returns
    -------
    float
        Of Student's t the quantile (1 - level)^(1 / candidates), counting the parent too, which is
        a little more cautious than the comparisons need; inf for two texts or fewer.
    """
    if not texts > 2:
        return float("inf")
    each = -np.expm1(np.log1p(-level) / max(candidates, 1))
    return float(stats.t.isf(each, texts - 1.0))


class NearestGap(NamedTuple):
    """How much further the claimed parent of a child is than the nearest candidate.

    Attributes
    ----------
    gap, se
        Bits per byte; both 0 where the parent is the nearest.
    candidates
        Among how many it is the nearest, the parent among them.
    texts
        For how many texts the measured ones count.
    """

    gap: float
    se: float
    candidates: int
    texts: float

    @property
    def another_is_nearer(self) -> bool:
        """Whether the gap is more than chance makes of the nearest of equally near candidates."""
        return self.gap > 0.0 and self.gap > self.se * largest_by_chance(
            self.candidates, self.texts
        )


def effective_texts(texts: int, shares: np.ndarray | None = None) -> float:
    """For how many texts of equal share N texts count: 1 / sum a^2."""
    return float(texts) if shares is None else float(1.0 / (shares @ shares))
