"""Numerics: intervals of predictions for points without a score, from out-of-fold errors (CV+)."""

from __future__ import annotations

import numpy as np


def cv_plus(
    predicted: np.ndarray,
    scores: np.ndarray,
    new: np.ndarray,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the scores of m points lie, each end of shape (m,).

    CV+ of Barber, Candes, Ramdas and Tibshirani (2021, arXiv:1905.02928): the quantiles of each
    fold's prediction plus and minus the errors on what it left out. The errors are those on groups
    that a fit did not know, and so are the intervals: for a point of a known group they are long.

    Parameters
    ----------
    predicted, new
        As in `OutOfFold`, shapes (R, n) and (R, n, m).
    scores
        Shape (n,).
    level
        Of the intervals.
    """
    error = np.abs(predicted - scores)[..., None]
    low = np.sort((new - error).reshape(-1, new.shape[-1]), axis=0)
    high = np.sort((new + error).reshape(-1, new.shape[-1]), axis=0)
    share = level * (1.0 + 1.0 / len(scores))
    rank = min(len(high), int(np.ceil(share * len(high) - 1e-9)))
    return low[-rank], high[rank - 1]
