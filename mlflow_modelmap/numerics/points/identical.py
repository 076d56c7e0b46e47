"""Numerics: points that are one and the same on every text, whatever they are called."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def first_identical(values: ArrayLike) -> np.ndarray:
    """For each row the first that equals it in every entry, to the bit; int, shape (K,).

    A copy of a model gives the same log-likelihoods under any name, where the same arithmetic
    scored both; other arithmetic leaves a difference, and so do other weights.

    Parameters
    ----------
    values
        Finite, shape (K, N): log-likelihoods, or coordinates made from them row by row.
    """
    rows = np.ascontiguousarray(values)
    first = np.arange(len(rows))
    if not rows.size:
        return first
    seen: dict[bytes, list[int]] = {}
    for k, row in enumerate(rows):
        # What most rows differ in is looked at before all of them is.
        same = seen.setdefault((row[:8] + 0.0).tobytes(), [])  # -0.0 is 0.0
        first[k] = next((j for j in same if np.array_equal(rows[j], row)), k)
        if first[k] == k:
            same.append(k)
    return first
