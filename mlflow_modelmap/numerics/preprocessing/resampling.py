"""Numerics: which few texts to keep of many, and how much each then counts.

The likelihoods of models on a map say where they differ. Texts on which they differ much are kept
with a higher probability and counted less, so that every KL stays right and its error becomes
smaller than on as many texts chosen at random. The idea is that of Oyama et al. (2025),
"Likelihood Variance as Text Importance for Resampling Texts to Map Language Models"; the
probabilities here are those of the estimator that maps use on weighted texts.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix, kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import double_centre
from mlflow_modelmap.numerics.matrix.log_likelihoods import shares_of
from mlflow_modelmap.numerics.matrix.sampling import Sampling

Method = Literal["kl", "length-squared", "uniform"]
METHODS: tuple[Method, ...] = ("kl", "length-squared", "uniform")
DEFENSIVE = 0.2
"""Part of the probabilities that goes to all texts alike, whatever the map says of them."""


def error_by_text(q: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """What each text adds to the squared standard errors of all pairs of points, shape (N,).

    The sum over pairs i < j of (d_s^2 - a_s KL_ij)^2 with d = q_i - q_j and a_s the text's share.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    shares
        `LogLikelihoodMatrix.shares`, shape (N,); None where all texts count alike.

    Notes
    -----
    No pair is formed: with x the column of a text, of mean 0 over the points, and P_k its power
    sums, sum (x_i - x_j)^4 = K P_4 + 3 P_2^2 and sum (x_i - x_j)^2 KL_ij = sum_i x_i^2 R_i
    + 2 x^T Q Q^T x with R_i = sum_j KL_ij. That is one product of a (K, K) with a (K, N) matrix.
    """
    x = q - q.mean(axis=0)
    points, texts = x.shape
    share = np.full(texts, 1.0 / texts) if shares is None else shares
    square = x * x
    second = square.sum(axis=0)
    fourth = points * np.einsum("ij,ij->j", square, square) + 3.0 * second * second
    kl = kl_matrix(x)
    product = (x @ x.T) @ x
    cross = kl.sum(axis=1) @ square + 2.0 * np.einsum("ij,ij->j", x, product)
    total = float(np.sum(kl * kl)) / 2.0
    return np.maximum(fourth - 2.0 * share * cross + share * share * total, 0.0)


def importance(
    q: np.ndarray, method: Method = "kl", shares: np.ndarray | None = None
) -> np.ndarray:
    """Probability with which each text should be chosen, shape (N,), their sum 1.

    Parameters
    ----------
    q
        Coordinates of a map, shape (K, N), K >= 2.
    method
        ``"kl"``: proportional to the root of `error_by_text`, which makes the summed squared
        standard errors of all KL divergences on the map as small as can be. ``"length-squared"``:
        to the squared length of a text's column. ``"uniform"``: all alike.
    shares
        Of texts that are weighted already, shape (N,).

    Returns
    -------
    ndarray
        A part `DEFENSIVE` is spread over all texts as they count, so that none counts more than
        1 / `DEFENSIVE` times the average afterwards, and models unlike those on the map are
        measured well too.

    Raises
    ------
    InputError
        If the method is unknown, or the points do not differ.
    """
    if method not in METHODS:
        raise InputError(f"The method {method!r} is unknown; choose one of {', '.join(METHODS)}.")
    texts = q.shape[1]
    if method == "uniform":
        return np.full(texts, 1.0 / texts)
    lengths = np.einsum("ij,ij->j", q, q)
    wanted = np.sqrt(error_by_text(q, shares)) if method == "kl" else lengths
    if (q == q[0]).all():
        raise InputError(
            "The points of the map do not differ on any text, so no text matters more than "
            "another; choose a map of different models, or the method uniform."
        )
    alike = np.full(texts, 1.0 / texts) if shares is None else shares
    if not wanted.any():  # as of two texts, which cannot but agree
        return alike
    return (1.0 - DEFENSIVE) * wanted / wanted.sum() + DEFENSIVE * alike


def inclusion_probabilities(importance: np.ndarray, size: int) -> np.ndarray:
    """Probability that each text is among `size` different ones, shape (N,), their sum `size`.

    Proportional to `importance`, except that a text which would exceed 1 is chosen for sure.

    Raises
    ------
    InputError
        If `size` is below 2 or above the number of texts.
    """
    texts = importance.size
    if not 2 <= size <= texts:
        raise InputError(
            f"{size} of {texts} texts cannot be chosen; give a size from 2 to {texts}."
        )
    sure = np.zeros(texts, dtype=bool)
    while not sure.all():
        chance = np.where(sure, 0.0, importance)
        chance *= (size - sure.sum()) / chance.sum()
        more = chance >= 1.0
        if not more.any():
            return np.where(sure, 1.0, chance)
        sure |= more
    return np.ones(texts)


def draw(inclusion: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Choose different texts with given probabilities; their numbers, ascending.

    Pareto sampling: those with the smallest odds of `uniforms` relative to the odds of their own
    probability. The number is exact; the probabilities hold up to a relative O(1 / size).

    Parameters
    ----------
    inclusion
        From `inclusion_probabilities`, shape (N,).
    uniforms
        One number between 0 and 1 a text, at random, shape (N,). With the same numbers most of a
        smaller choice lies within a larger one.
    """
    size = round(float(inclusion.sum()))
    ranks = (1.0 - inclusion) / inclusion * (uniforms / (1.0 - uniforms))
    return np.sort(np.argsort(ranks, kind="stable")[:size])


def variance_ratio(
    q: np.ndarray, method: Method, size: int, shares: np.ndarray | None = None
) -> float:
    """Summed squared standard errors of KL against as many texts chosen at random, foretold.

    Below 1 where the choice is better. Each half of the points (every other one) chooses for the
    other half, so that it holds for models that are not on the map but like those that are; with
    fewer than 4 points all of them choose for themselves, which promises too much.

    Parameters
    ----------
    q, shares
        As in `error_by_text`.
    method, size
        As in `importance` and `inclusion_probabilities`.
    """
    halves = (q[::2], q[1::2]) if len(q) >= 4 else (q,)
    chosen, at_random = 0.0, 0.0
    for choosing, measured in zip(halves, halves[::-1], strict=True):
        error = error_by_text(measured, shares)
        inclusion = inclusion_probabilities(importance(choosing, method, shares), size)
        chosen += float(np.sum(error / inclusion))
        at_random += float(np.sum(error)) * inclusion.size / size
    return chosen / at_random if at_random > 0 else 1.0


def relative_errors(
    q: np.ndarray,
    chosen: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray | None = None,
    documents: np.ndarray | None = None,
) -> np.ndarray:
    """SE / KL of all pairs of points i < j that differ, measured on chosen texts.

    Parameters
    ----------
    q, shares
        As in `error_by_text`.
    chosen
        Numbers of n texts.
    weights
        Of the chosen texts, shape (n,).
    documents
        The number of each of the N texts' document, -1 for none; None: they are independent.
    """
    values = q[:, chosen] if shares is None else q[:, chosen] / np.sqrt(shares[chosen])
    own = shares_of(weights)
    part = double_centre(values, own)
    if own is not None:
        part *= np.sqrt(own)
    sampling = Sampling(own, own, None if documents is None else documents[chosen])
    kl, se = kl_with_standard_error(part, sampling)
    above = np.triu_indices(len(kl), 1)
    apart = kl[above] > 0
    return se[above][apart] / kl[above][apart]
