"""Numerics: how few texts carry a KL divergence or a difference of bits per byte."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def effective_texts(weights: ArrayLike | None, texts: int) -> float:
    """1 / sum a^2 of the shares a of the texts: how many texts that count alike they are worth.

    Parameters
    ----------
    weights
        Shape (N,), or None where all count alike.
    texts
        N.
    """
    if weights is None:
        return float(texts)
    w = np.asarray(weights, dtype=np.float64)
    return float(w.sum() ** 2 / (w @ w))


def half_in(first: ArrayLike, second: ArrayLike, weights: ArrayLike | None = None) -> int:
    """The smallest number of texts that make up half of the KL divergence between two vectors.

    Parameters
    ----------
    first, second
        Log-likelihoods in nats, shape (N,).
    weights
        Of the texts, shape (N,), or None.

    Returns
    -------
    int
        0 where there is no difference. N normal differences that count alike have about N / 10.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    difference -= difference[0]
    w = np.ones(difference.size) if weights is None else np.asarray(weights, dtype=np.float64)
    return half_of(w * (difference - np.average(difference, weights=w)) ** 2)


def half_of(parts: np.ndarray) -> int:
    """The smallest number of parts that make up half of their sum; 0 where that is 0.

    Parameters
    ----------
    parts
        Not negative, shape (N,): what each text adds to a KL.
    """
    parts = np.sort(parts)[::-1]
    reached = np.cumsum(parts)
    if not reached[-1] > 0:
        return 0
    return int(np.searchsorted(reached, reached[-1] / 2.0)) + 1


def skewness_of_mean(
    first: ArrayLike,
    second: ArrayLike,
    text_bytes: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Skewness of the difference of bits per byte (first less second) as a mean over texts.

    The sum of cubes of the texts' parts over the sum of their squares to the power 1.5, which is
    the skewness of a text over the root of N where all count alike.

    Parameters
    ----------
    first, second
        Log-likelihoods in nats, shape (N,).
    text_bytes
        Shape (N,).
    weights
        Of the texts, shape (N,), or None.
    """
    size = np.asarray(text_bytes, dtype=np.float64)
    worse = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    w = np.ones(size.size) if weights is None else np.asarray(weights, dtype=np.float64)
    part = w * (worse - (w @ worse) / (w @ size) * size)
    square = float(part @ part)
    scale = math.sqrt(square)
    # Where only rounding is left there is no shape to speak of.
    if scale <= 1e-12 * float(np.abs(w * worse).max(initial=0.0)):
        return 0.0
    return float(np.sum((part / scale) ** 3))


def difference_error(kl: ArrayLike, mean_bytes: float, texts: float) -> np.ndarray:
    """Standard error of the difference of bits per byte of two points, by their KL divergence.

    Both come from the variance of the same differences: sqrt(2 KL / (N B ln 2)). That is exact
    where all texts are of one length, and for others near it, as chunks are, close.

    Parameters
    ----------
    kl
        Bits per byte.
    mean_bytes
        B.
    texts
        Effective number of texts, at most as many as documents; where these are few, the error is
        an upper bound, as if the texts of one were all alike.
    """
    return np.sqrt(2.0 * np.asarray(kl, dtype=np.float64) / (texts * mean_bytes * math.log(2.0)))
