"""Numerics: KL divergence in bits/byte between points of a map, each with its standard error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.gram_products import all_pairs
from mlflow_modelmap.numerics.divergence.kl_variance import Estimator, chosen_pairs, estimate
from mlflow_modelmap.numerics.matrix.log_likelihoods import sampling_of
from mlflow_modelmap.numerics.matrix.sampling import Sampling, check_documents


def kl_matrix(q: ArrayLike) -> np.ndarray:
    """KL divergence between all pairs of points: squared distances between rows (Section 2).

    Parameters
    ----------
    q
        Coordinates, shape (K, N), as `coordinates` of `numerics.matrix` gives them, or any rows of
        them.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Bits per byte; symmetric, zero on the diagonal, exactly zero between equal rows.

    Raises
    ------
    InputError
        If `q` is not a matrix of finite values.

    Notes
    -----
    Besides `q` and the result it takes about 50 MB, whatever K and N are.
    """
    return all_pairs(checked(q), errors=False)[0]


def kl_with_standard_error(
    q: ArrayLike, shares: Sampling | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """KL divergence between all pairs and its standard error (Section 2, Appendix C).

    SE = sqrt(sum_s d_s^4 - KL^2 / N) with d the difference of two rows; of texts with shares e of
    the bytes it is sqrt(sum_s (d_s^2 - e_s KL)^2), which is the same where every share is 1 / N.
    Where texts are pieces of C documents, the squares are of sums over documents, times
    C / (C - 1); with a single document the error is NaN.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    shares
        `LogLikelihoodMatrix.sampling` of the matrix that `q` comes from; or only the texts' shares,
        shape (N,), where they are independent and of equal length.

    Returns
    -------
    kl, se : ndarray of float64, shape (K, K)
        Bits per byte; symmetric, zero on the diagonal.

    Raises
    ------
    InputError
        If `q` is not a matrix of finite values, or the shares do not fit it.
    """
    q = checked(q)
    kl, variance = all_pairs(q, Sampling.of(shares, q.shape[1]))
    assert variance is not None
    return kl, np.sqrt(variance, out=variance)


def kl_pairs(
    q: ArrayLike, i: ArrayLike, j: ArrayLike, shares: Sampling | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """KL divergence and standard error of chosen pairs, from their differences.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    i, j
        Row indices that broadcast together.
    shares
        As for `kl_with_standard_error`.

    Returns
    -------
    kl, se : ndarray of float64, of the shape of the indices
        Bits per byte.

    Raises
    ------
    InputError
        If the shares do not fit `q`.
    """
    q = np.asarray(q, dtype=np.float64)
    i, j = np.broadcast_arrays(np.asarray(i, dtype=np.intp), np.asarray(j, dtype=np.intp))
    kl, variance = chosen_pairs(q, i.ravel(), j.ravel(), Sampling.of(shares, q.shape[1]))
    return kl.reshape(i.shape), np.sqrt(variance).reshape(i.shape)


def kl_between(
    l_i: ArrayLike,
    l_j: ArrayLike,
    mean_bytes: float,
    *,
    weights: ArrayLike | None = None,
    estimator: Estimator = "self-normalised",
    text_bytes: ArrayLike | None = None,
    documents: np.ndarray | None = None,
    per_byte: bool = False,
) -> tuple[float, float]:
    """KL divergence and standard error between two log-likelihood vectors.

    Parameters
    ----------
    l_i, l_j
        Log-likelihoods in nats of the same N >= 2 texts, shape (N,).
    mean_bytes
        B, the mean UTF-8 bytes a text, under the same weights if there are any.
    weights
        Importance weights, shape (N,), not negative: how much more often each text occurs in the
        population that is asked about than in the sample. None: every text counts the same.
    estimator
        ``"self-normalised"``, the paper's where there are no weights, or ``"unbiased"``; see
        `kl_variance.estimate`.
    text_bytes
        UTF-8 bytes of each text, shape (N,), so that the error holds that of B, too; None: texts
        are taken to be of equal length.
    documents
        The number of each text's document, shape (N,), -1 for none; None: texts are independent.
    per_byte
        Whether a difference in proportion to the texts' bytes is taken out, as
        `LogLikelihoodMatrix.per_byte`.

    Returns
    -------
    kl, se : float
        Bits per byte. The standard error is that of the estimator's linear part; NaN where all
        texts are of one document.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, the mean bytes are not positive, the weights
        are negative or all zero, the bytes or documents do not fit, or the estimator is unknown.
    """
    first = np.asarray(l_i, dtype=np.float64)
    second = np.asarray(l_j, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size < 2:
        raise InputError(
            f"Log-likelihood vectors of shapes {first.shape} and {second.shape} cannot be "
            "compared; give two of the same two or more texts."
        )
    if not (np.isfinite(mean_bytes) and mean_bytes > 0):
        raise InputError(f"The mean bytes a text are {mean_bytes}; give a positive number.")
    w = np.ones(first.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != first.shape or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise InputError(
            "The weights do not fit the texts; give one finite weight a text, none negative "
            "and not all zero."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        text = int(np.flatnonzero(~np.isfinite(difference))[0])
        raise InputError(
            f"The log-likelihoods of text {text} are {first[text]} and {second[text]}; "
            "score that point again."
        )
    size = np.ones(first.size) if text_bytes is None else np.asarray(text_bytes, np.float64)
    if size.shape != first.shape or not (size > 0).all():
        raise InputError(
            f"Bytes of shape {size.shape} do not fit {first.size} texts; give one positive number "
            "a text."
        )
    if per_byte and text_bytes is None:
        raise InputError("Per byte needs the bytes of each text; give them as text_bytes.")
    if documents is not None:
        check_documents(documents, first.size)
    sampling = sampling_of(size, w / w.sum(), documents, per_byte=per_byte)
    variance, error = estimate(difference, w, estimator, sampling)
    unit = 2.0 * mean_bytes * np.log(2.0)
    return float(variance / unit), float(error / unit)


def checked(q: ArrayLike) -> np.ndarray:
    """Coordinates as a matrix of finite float64 values.

    Raises
    ------
    InputError
        If they are none.
    """
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 2 or 0 in q.shape:
        raise InputError(f"Coordinates of shape {q.shape} are no matrix of points and texts.")
    finite = np.isfinite(q.sum(axis=1))
    if not finite.all():
        raise InputError(
            f"Point {int(np.flatnonzero(~finite)[0])} has a coordinate that is not finite; "
            "score it again."
        )
    return q
