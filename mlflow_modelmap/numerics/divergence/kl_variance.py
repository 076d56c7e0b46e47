"""Numerics: estimators of a KL divergence and of its variance - the paper's, and the unbiased one.

Every standard error of a KL comes from here: that of two vectors from `estimate`, that of chosen
rows of coordinates from `chosen_pairs`, and that of all pairs at once, which come from matrix
products, from `variance_from_moments`.

With d the difference of two rows of coordinates, D = sum_s d_s^2 their KL and e_s the share of the
(weighted) bytes that text s holds, the variance of D as an estimate is sum_s (d_s^2 - e_s D)^2,
that of a ratio of squares to bytes. Where all texts are of equal length and weight it is the
paper's sum d^4 - D^2 / N. Where texts are pieces of documents, the sum is over documents; see
`sampling.variance_of_sum`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.sampling import Sampling, variance_of_sum

Estimator = Literal["self-normalised", "unbiased"]
Pairs = tuple[np.ndarray, np.ndarray]

_DIRECT_ELEMENTS = 1 << 18


def estimate(
    difference: np.ndarray,
    weights: np.ndarray,
    estimator: Estimator,
    sampling: Sampling | None = None,
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
    sampling
        How the texts were sampled, if more than their weights is known. Per byte, the mean m gives
        way to r b_s, with r = sum(w d) / sum(w b).

    Returns
    -------
    variance, se : float
        Nats squared. The standard error is that of the linear part of the estimate per byte: the
        variance over the mean bytes, which are those of the same texts.

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
    share = weights / weights.sum()
    sampling = sampling or Sampling()
    expected = share if sampling.expected is None else sampling.expected
    if sampling.per_byte:
        length = np.divide(expected, share, out=np.ones(n), where=share > 0)
        residual = difference - (share @ difference) * length
    else:
        difference = difference - difference[0]
        residual = difference - share @ difference
    square = residual**2
    spread = float(share @ square)
    level = 1.0 if estimator == "self-normalised" else float(weights.mean())
    if estimator == "self-normalised":
        variance, influence = spread, share * square - expected * spread
    else:
        variance = spread * level**2 * n / (n - 1)
        influence = level * weights * (square + spread) / n
        influence -= influence.mean() + (expected - share) * spread * level**2
    if sampling.per_byte:
        influence -= 2.0 * level**2 * (expected @ residual) * share * residual
    return float(variance), float(np.sqrt(variance_of_sum(influence, sampling.clusters)))


def chosen_pairs(
    q: np.ndarray, i: np.ndarray, j: np.ndarray, sampling: Sampling | None = None
) -> Pairs:
    """Squared distances and their variances from the differences of rows, in chunks of pairs.

    Parameters
    ----------
    q
        Finite, float64, shape (K, N).
    i, j
        Row indices, shape (p,).
    sampling
        How the texts were sampled; None for independent texts that count alike.

    Returns
    -------
    kl, variance : ndarray of float64, shape (p,)
        Bits per byte where `q` are coordinates, and their square.
    """
    texts = q.shape[1]
    sampling = sampling or Sampling()
    clusters, expected = sampling.clusters, sampling.expected
    kl, variance = np.empty(i.size), np.empty(i.size)
    length = max(1, _DIRECT_ELEMENTS // texts)
    for start in range(0, i.size, length):
        chunk = slice(start, start + length)
        square = q[i[chunk]]
        square -= q[j[chunk]]
        slope = _of_the_ratio(square, sampling) if sampling.per_byte else None
        square *= square
        kl[chunk] = square.sum(axis=1)
        square -= kl[chunk, None] / texts if expected is None else kl[chunk, None] * expected
        if slope is not None:
            square -= slope
        variance[chunk] = variance_of_sum(square, clusters)
    return kl, variance


def _of_the_ratio(difference: np.ndarray, sampling: Sampling) -> np.ndarray:
    """What the error of r, which is estimated too, takes from each text's contribution, (p, N).

    2 (sum_t e_t d_t / sqrt(a_t)) sqrt(a_s) d_s: 0 where the residuals do not go with length.
    """
    texts = difference.shape[1]
    shares = np.full(texts, 1.0 / texts) if sampling.shares is None else sampling.shares
    assert sampling.expected is not None
    root = np.sqrt(shares)
    slope = difference @ (sampling.expected / root)
    return 2.0 * slope[:, None] * (root * difference)


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
