"""Numerics: pairs of points that share a label, or are taken at random, drawn with a seed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd


def pairs_within(
    labels: Sequence[Hashable | None], limit: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of points that carry the same label; None and NaN are no label.

    Parameters
    ----------
    labels
        One a point, shape (K,).
    limit
        Most pairs to return, drawn without replacement.
    seed
        Of that draw.

    Returns
    -------
    i, j : ndarray of int, shape (number of pairs,)
    """
    codes, _ = pd.factorize(pd.Series(list(labels), dtype=object))
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    first, second = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    for members in groups:
        if members.size and codes[members[0]] >= 0:
            i, j = np.triu_indices(members.size, 1)
            first.append(members[i])
            second.append(members[j])
    return _drawn(np.concatenate(first), np.concatenate(second), limit, seed)


def pairs_at_random(points: int, limit: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` different pairs i < j out of `points` points, drawn with a seed.

    Returns
    -------
    i, j : ndarray of int, shape (number of pairs,)
    """
    i, j = np.triu_indices(points, 1)
    return _drawn(i, j, limit, seed)


def _drawn(
    i: np.ndarray, j: np.ndarray, limit: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    if limit is None or i.size <= limit:
        return i, j
    chosen = np.sort(np.random.default_rng(seed).choice(i.size, size=limit, replace=False))
    return i[chosen], j[chosen]
