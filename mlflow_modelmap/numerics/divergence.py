"""Numerics: KL divergence in bits/byte between points of a map, each with its standard error.

All pairs at once come from Gram products; pairs too close for them are computed again from what
is left after their common position is subtracted, so that every value keeps its digits.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse, special
from scipy.sparse.csgraph import connected_components

from mlflow_modelmap.errors import InputError

Estimator = Literal["self-normalised", "unbiased"]
Pairs = tuple[np.ndarray, np.ndarray]

# A Gram product loses eps / ratio of the digits of a pair whose value is that ratio of its terms.
_CLOSE_SQUARES = 1e-9
_CLOSE_FOURTHS = 1e-8
_CLOSE_VARIANCE = 1e-2
_ROWS = 1024
_TEXTS = 1024
_DIRECT_ELEMENTS = 1 << 18
_DEEPEST = 4


def kl_matrix(q: ArrayLike) -> np.ndarray:
    """KL divergence between all pairs of points: squared distances between rows (Section 2).

    Parameters
    ----------
    q
        Coordinates, shape (K, N), as `numerics.matrix.coordinates` gives them, or any rows of them.

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
    q = _checked(q)
    kl, _, close = _gram(q, fourths=False)
    _refine(q, kl, None, close)
    return kl


def kl_with_standard_error(q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """KL divergence between all pairs and its standard error (Section 2, Appendix C).

    SE = sqrt(sum_s d_s^4 - KL^2 / N) with d the difference of two rows. The fourth powers expand
    into matrix products: S4_i + S4_j - 4 A^3 A^T - 4 A (A^3)^T + 6 A^2 (A^2)^T.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).

    Returns
    -------
    kl, se : ndarray of float64, shape (K, K)
        Bits per byte; symmetric, zero on the diagonal.

    Raises
    ------
    InputError
        If `q` is not a matrix of finite values.
    """
    q = _checked(q)
    kl, variance, close = _gram(q, fourths=True)
    assert variance is not None
    _refine(q, kl, variance, close)
    return kl, np.sqrt(variance, out=variance)


def kl_pairs(q: ArrayLike, i: ArrayLike, j: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """KL divergence and standard error of chosen pairs, from their differences.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    i, j
        Row indices that broadcast together.

    Returns
    -------
    kl, se : ndarray of float64, of the shape of the indices
        Bits per byte.
    """
    q = np.asarray(q, dtype=np.float64)
    i, j = np.broadcast_arrays(np.asarray(i, dtype=np.intp), np.asarray(j, dtype=np.intp))
    kl, variance = _direct(q, i.ravel(), j.ravel())
    return kl.reshape(i.shape), np.sqrt(variance).reshape(i.shape)


def kl_consecutive(q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """KL divergence and standard error between each row and the next, shape (K - 1,) (Figure 4)."""
    steps = np.arange(len(np.asarray(q)))
    return kl_pairs(q, steps[:-1], steps[1:])


def kl_between(
    l_i: ArrayLike,
    l_j: ArrayLike,
    mean_bytes: float,
    *,
    weights: ArrayLike | None = None,
    estimator: Estimator = "self-normalised",
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
        ``"self-normalised"`` divides by the sum of the weights, so that their scale does not
        matter: sum w (d - m)^2 / sum w, m the weighted mean of d; without weights the population
        variance, which is the paper's KL. It is biased by a relative O(1/N). ``"unbiased"`` is
        the mean over pairs of texts s < t of w_s w_t (d_s - d_t)^2 / 2, without weights the sample
        variance. It needs weights whose expectation over the sampling is 1, as the ratio of two
        known probabilities has; which of the two has the smaller error depends on them.

    Returns
    -------
    kl, se : float
        Bits per byte. The standard error is that of the estimator's linear part.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or the weights are negative or all zero.
    """
    first = np.asarray(l_i, dtype=np.float64)
    second = np.asarray(l_j, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size < 2:
        raise InputError(
            f"Log-likelihood vectors of shapes {first.shape} and {second.shape} cannot be "
            "compared; give two of the same two or more texts."
        )
    if estimator not in ("self-normalised", "unbiased"):
        raise InputError(
            f"The estimator {estimator!r} is unknown; use 'self-normalised' or 'unbiased'."
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
    n = first.size
    # Subtracting the first text's difference keeps the digits of a pair that differs by a constant.
    difference -= difference[0]
    share = w / w.sum()
    square = (difference - share @ difference) ** 2
    spread = share @ square
    if estimator == "self-normalised":
        value = spread
        error = np.sqrt(np.sum((share * (square - spread)) ** 2))
    else:
        level = w.mean()
        value = spread * level**2 * n / (n - 1)
        error = np.std(level * w * (square + spread)) / np.sqrt(n)
    unit = 2.0 * mean_bytes * np.log(2.0)
    return float(value / unit), float(error / unit)


def confidence_interval(
    kl: ArrayLike, se: ArrayLike, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of a KL divergence, normal on the log scale (delta method).

    KL exp(-z SE / KL) to KL exp(z SE / KL): always positive, and longer upwards, as the sampling
    distribution of a mean of squares is.

    Parameters
    ----------
    kl, se
        Bits per byte, of shapes that broadcast together.
    level
        Coverage, between 0 and 1.

    Returns
    -------
    low, high : ndarray
        Bits per byte. A KL of exactly 0 gives 0 and 0; an upper end past the largest float is inf.
    """
    if not 0.0 < level < 1.0:
        raise InputError(
            f"A confidence level of {level} is not possible; give one between 0 and 1."
        )
    kl, se = np.asarray(kl, dtype=np.float64), np.asarray(se, dtype=np.float64)
    z = special.ndtri(0.5 + level / 2.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        stretch = np.exp(z * np.where(kl > 0, se / kl, 0.0))
        return kl / stretch, kl * stretch


def _checked(q: ArrayLike) -> np.ndarray:
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


def _blocks(length: int, longest: int) -> list[slice]:
    """Slices of nearly equal length, none longer than `longest`."""
    count = -(-length // longest)
    edges = [length * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _gram(q: np.ndarray, *, fourths: bool) -> tuple[np.ndarray, np.ndarray | None, Pairs]:
    """All pairs by matrix products over blocks of points and texts.

    Returns KL, the variance of its estimate (None unless asked for), and the pairs i < j for which
    the products cancelled too far to be trusted.
    """
    points, texts = q.shape
    centre = q.mean(axis=0)
    squares, powers = np.zeros(points), np.zeros(points)
    columns = _blocks(texts, _TEXTS)
    rows = _blocks(points, _ROWS)
    for block in rows:
        for column in columns:
            a = q[block, column] - centre[column]
            a *= a
            squares[block] += a.sum(axis=1)
            if fourths:
                powers[block] += np.einsum("ij,ij->i", a, a)
    kl = np.empty((points, points))
    variance = np.empty((points, points)) if fourths else None
    found: list[Pairs] = []
    for k, one in enumerate(rows):
        for other in rows[k:]:
            same = one is other
            second, fourth = _block_products(q, centre, one, other, columns, fourths=fourths)
            scale = squares[one, None] + squares[other]
            second *= -2.0
            second += scale
            close = second < _CLOSE_SQUARES * scale
            np.maximum(second, 0.0, out=second)
            kl[one, other] = second
            kl[other, one] = second.T
            if variance is not None and fourth is not None:
                scale = powers[one, None] + powers[other]
                fourth += scale
                close |= fourth < _CLOSE_FOURTHS * scale
                spread = fourth - second * second / texts
                close |= spread < _CLOSE_VARIANCE * fourth
                np.maximum(spread, 0.0, out=spread)
                variance[one, other] = spread
                variance[other, one] = spread.T
            i, j = np.nonzero(np.triu(close, 1) if same else close)
            found.append((i + one.start, j + other.start))
    np.fill_diagonal(kl, 0.0)
    if variance is not None:
        np.fill_diagonal(variance, 0.0)
    return (
        kl,
        variance,
        (np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])),
    )


def _block_products(
    q: np.ndarray,
    centre: np.ndarray,
    one: slice,
    other: slice,
    columns: list[slice],
    *,
    fourths: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """A A^T, and 6 A^2 (A^2)^T - 4 A^3 A^T - 4 A (A^3)^T, between two blocks of points."""
    shape = (one.stop - one.start, other.stop - other.start)
    same = one is other
    second, product = np.zeros(shape), np.empty(shape)
    fourth = np.zeros(shape) if fourths else None
    for column in columns:
        a = q[one, column] - centre[column]
        b = a if same else q[other, column] - centre[column]
        second += np.matmul(a, b.T, out=product)
        if fourth is None:
            continue
        a2 = a * a
        b2 = a2 if same else b * b
        np.matmul(a2, b2.T, out=product)
        product *= 6.0
        fourth += product
        a2 *= a
        np.matmul(a2, b.T, out=product)
        product *= -4.0
        fourth += product + product.T if same else product
        if not same:
            b2 *= b
            np.matmul(a, b2.T, out=product)
            product *= -4.0
            fourth += product
    return second, fourth


def _refine(
    q: np.ndarray, kl: np.ndarray, variance: np.ndarray | None, close: Pairs, depth: int = 0
) -> None:
    """Compute the close pairs again, in place.

    Groups of points that are close to one another go through the products again, around their own
    centre, where they no longer cancel; what is few or still close is done by differences.
    """
    i, j = _apart(q, close, kl, variance) if depth == 0 else close
    if not i.size:
        return
    graph = sparse.coo_matrix((np.ones(i.size, dtype=bool), (i, j)), shape=kl.shape)
    _, label = connected_components(graph, directed=False)
    group = label[i]
    order = np.argsort(group, kind="stable")
    few: list[np.ndarray] = []
    for chosen in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        members = np.unique(np.concatenate((i[chosen], j[chosen])))
        if depth == _DEEPEST or members.size < 32 or chosen.size < 4 * members.size:
            few.append(chosen)
            continue
        part = q[members]
        part_kl, part_variance, (still_i, still_j) = _gram(part, fourths=variance is not None)
        at = np.searchsorted(members, i[chosen]), np.searchsorted(members, j[chosen])
        wanted = np.zeros(part_kl.shape, dtype=bool)
        wanted[at] = True
        still = wanted[still_i, still_j]
        _refine(part, part_kl, part_variance, (still_i[still], still_j[still]), depth + 1)
        _put(kl, i[chosen], j[chosen], part_kl[at])
        if variance is not None and part_variance is not None:
            _put(variance, i[chosen], j[chosen], part_variance[at])
    if few:
        chosen = np.concatenate(few)
        direct_kl, direct_variance = _direct(q, i[chosen], j[chosen])
        _put(kl, i[chosen], j[chosen], direct_kl)
        if variance is not None:
            _put(variance, i[chosen], j[chosen], direct_variance)


def _apart(q: np.ndarray, close: Pairs, kl: np.ndarray, variance: np.ndarray | None) -> Pairs:
    """The close pairs whose rows differ; the others are exactly 0."""
    i, j = close
    first: dict[bytes, int] = {}
    same = np.arange(len(q))
    for row in np.union1d(i, j):
        same[row] = first.setdefault(sha256(q[row].tobytes()).digest(), int(row))
    equal = same[i] == same[j]
    for matrix in (kl, variance):
        if matrix is not None:
            _put(matrix, i[equal], j[equal], np.zeros(()))
    return i[~equal], j[~equal]


def _put(matrix: np.ndarray, i: np.ndarray, j: np.ndarray, values: np.ndarray) -> None:
    matrix[i, j] = values
    matrix[j, i] = values


def _direct(q: np.ndarray, i: np.ndarray, j: np.ndarray) -> Pairs:
    """KL and the variance of its estimate from the differences of rows, in chunks of pairs."""
    texts = q.shape[1]
    kl, variance = np.empty(i.size), np.empty(i.size)
    length = max(1, _DIRECT_ELEMENTS // texts)
    for start in range(0, i.size, length):
        chunk = slice(start, start + length)
        square = q[i[chunk]]
        square -= q[j[chunk]]
        square *= square
        kl[chunk] = square.sum(axis=1)
        square -= kl[chunk, None] / texts
        variance[chunk] = np.einsum("ij,ij->i", square, square)
    return kl, variance
