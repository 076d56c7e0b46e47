"""Numerics: estimators of a KL divergence and of its variance - the paper's, and the unbiased one.

Every standard error of a KL comes from here: that of two vectors from `estimate`, that of chosen
rows of coordinates from `chosen_pairs`, and that of all pairs at once, which come from matrix
products, from `variance_from_moments`.

With d the difference of two rows of coordinates, D = sum_s d_s^2 their KL and a_s the share of text
s, the variance of D as an estimate is sum_s (d_s^2 - a_s D)^2; where all shares are 1 / N that is
sum d^4 - D^2 / N.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlflow_modelmap.errors import InputError

Estimator = Literal["self-normalised", "unbiased"]
Pairs = tuple[np.ndarray, np.ndarray]

_DIRECT_ELEMENTS = 1 << 18


def estimate(
    difference: np.ndarray, weights: np.ndarray, estimator: Estimator
) -> tuple[float, float]:
    """The variance over texts of a difference of log-likelihoods, and its standard error.

    Parameters
    ----------
    difference
        Nats, finite, shape (N,), N >= 2.
    weights
        Shape (N,), not negative, not all zero.
    estimator
        ``"self-normalised"`` divides by the sum of the weights, so that their scale does not
        matter: sum w (d - m)^2 / sum w, m the weighted mean of d; without weights the population
        variance, which is the paper's KL. It is biased by a relative O(1/N). ``"unbiased"`` is
        the mean over pairs of texts s < t of w_s w_t (d_s - d_t)^2 / 2, without weights the sample
        variance. It needs weights whose expectation over the sampling is 1, as the ratio of two
        known probabilities has; which of the two has the smaller error depends on them.

    Returns
    -------
    variance, se : float
        Nats squared. The standard error is that of the estimator's linear part.

    Raises
    ------
    InputError
        If the estimator is neither of the two.
    """
    if estimator not in ("self-normalised", "unbiased"):
        raise InputError(
            f"The estimator {estimator!r} is unknown; use 'self-normalised' or 'unbiased'."
        )
    n = difference.size
    # Subtracting the first text's difference keeps the digits of a pair that differs by a constant.
    difference = difference - difference[0]
    share = weights / weights.sum()
    square = (difference - share @ difference) ** 2
    spread = share @ square
    if estimator == "self-normalised":
        return float(spread), float(np.sqrt(np.sum((share * (square - spread)) ** 2)))
    level = weights.mean()
    error = np.std(level * weights * (square + spread)) / np.sqrt(n)
    return float(spread * level**2 * n / (n - 1)), float(error)


def chosen_pairs(
    q: np.ndarray, i: np.ndarray, j: np.ndarray, shares: np.ndarray | None = None
) -> Pairs:
    """Squared distances and their variances from the differences of rows, in chunks of pairs.

    Parameters
    ----------
    q
        Finite, float64, shape (K, N).
    i, j
        Row indices, shape (p,).
    shares
        Of the texts, their sum 1, shape (N,); None for 1 / N each.

    Returns
    -------
    kl, variance : ndarray of float64, shape (p,)
        Bits per byte where `q` are coordinates, and their square.
    """
    texts = q.shape[1]
    kl, variance = np.empty(i.size), np.empty(i.size)
    length = max(1, _DIRECT_ELEMENTS // texts)
    for start in range(0, i.size, length):
        chunk = slice(start, start + length)
        square = q[i[chunk]]
        square -= q[j[chunk]]
        square *= square
        kl[chunk] = square.sum(axis=1)
        square -= kl[chunk, None] / texts if shares is None else kl[chunk, None] * shares
        variance[chunk] = np.einsum("ij,ij->i", square, square)
    return kl, variance


def variance_from_moments(
    kl: np.ndarray, fourth: np.ndarray, evenness: float, shared: np.ndarray | None = None
) -> np.ndarray:
    """The variance from sums over texts, which cancel where it is far below `fourth`.

    Parameters
    ----------
    kl, fourth
        sum d^2 and sum d^4 of each pair, of one shape.
    evenness
        sum a^2 of the shares of the texts: 1 / N where all count alike.
    shared
        sum a d^2 of each pair; None where all texts count alike, so that it is KL / N.
    """
    if shared is None:
        return fourth - kl * kl * evenness
    return fourth - kl * (2.0 * shared - kl * evenness)
