"""Numerics: nested cross-validation by group - every score predicted by fits that know none of its.

The outer parts measure; the penalty of each fit is chosen inside its own training part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold

from mlflow_modelmap.numerics.prediction.ridge import fit_ridge


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What fits without a point's group said of it, over R repeats.

    Attributes
    ----------
    predicted
        From the map, shape (R, n).
    mean
        The mean score of the training part, shape (R, n): what is predicted from nothing.
    by_bits
        From bits per byte alone, by a straight line, shape (R, n).
    new
        Of m points without a score, by the fit that each point's prediction is from, (R, n, m).
    penalties
        That were chosen, one a fit.
    """

    predicted: np.ndarray
    mean: np.ndarray
    by_bits: np.ndarray
    new: np.ndarray
    penalties: np.ndarray


def out_of_fold(
    products: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    bits: np.ndarray,
    *,
    new: np.ndarray | None = None,
    folds: int = 10,
    repeats: int = 5,
    seed: int = 0,
) -> OutOfFold:
    """Nested cross-validation; no group is in training and test at once.

    Parameters
    ----------
    products
        Q Q^T of the n points with a score, shape (n, n).
    scores, groups, bits
        Score, number of the group and bits per byte of each, shape (n,).
    new
        Products of m points without a score with the n, shape (m, n).
    folds
        Parts; with no more groups than that each group is a part, and there is one repeat.
    repeats
        How often the groups are divided anew.
    seed
        Of the divisions.
    """
    n, m = len(scores), 0 if new is None else len(new)
    codes = np.unique(groups, return_inverse=True)[1]
    rounds = 1 if codes.max() < max(folds, 3) else repeats
    shape = (rounds, n)
    predicted, mean, by_bits = np.empty(shape), np.empty(shape), np.empty(shape)
    for_new = np.empty((*shape, m))
    penalties = []
    for repeat, test in divisions(codes, folds, rounds, seed):
        train = np.setdiff1d(np.arange(n), test)
        fit = fit_ridge(products[np.ix_(train, train)], scores[train], codes[train])
        predicted[repeat, test] = fit.predict(products[np.ix_(test, train)])
        mean[repeat, test] = fit.mean
        by_bits[repeat, test] = straight_line(bits[train], scores[train], bits[test])
        if new is not None:
            for_new[repeat, test] = fit.predict(new[:, train])
        penalties.append(fit.penalty)
    return OutOfFold(predicted, mean, by_bits, for_new, np.array(penalties))


def divisions(
    codes: np.ndarray, folds: int, repeats: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The number of the repeat and the points of each part, group by group."""
    count = int(codes.max()) + 1
    folds = max(folds, 3) if count <= 3 else folds  # two groups are left to choose a penalty by
    random = np.random.RandomState(seed)
    for repeat in range(repeats):
        parts = KFold(min(folds, count), shuffle=True, random_state=random)
        for _, chosen in parts.split(np.arange(count)):
            yield repeat, np.flatnonzero(np.isin(codes, chosen))


def straight_line(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Least squares of y on one number, read off elsewhere; the mean where x does not vary."""
    off = x - x.mean()
    square = float(off @ off)
    slope = float(off @ y) / square if square > 0 else 0.0
    return y.mean() + slope * (at - x.mean())
