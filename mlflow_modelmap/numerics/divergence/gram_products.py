"""Numerics: KL divergences of all pairs of points and their variances by matrix products.

All pairs at once come from Gram products; pairs too close for them are computed again from what
is left after their common position is subtracted, so that every value keeps its digits.

What the variance needs (see `kl_variance`) are sums over texts of powers of differences. The fourth
powers expand into matrix products, S4_i + S4_j - 4 A^3 A^T - 4 A (A^3)^T + 6 A^2 (A^2)^T, and
sum a d^2 is the squared distance between rows that are scaled with sqrt(a).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlflow_modelmap.numerics.divergence.cluster_products import clustered_products
from mlflow_modelmap.numerics.divergence.kl_variance import (
    Pairs,
    chosen_pairs,
    variance_from_moments,
)
from mlflow_modelmap.numerics.matrix.sampling import Clusters, Sampling

# A Gram product loses eps / ratio of the digits of a pair whose value is that ratio of its terms.
_CLOSE_SQUARES = 1e-9

_CLOSE_FOURTHS = 1e-8

_CLOSE_VARIANCE = 1e-2

_CLOSE_CLUSTERED = 1e-8

_ROWS = 1024

_TEXTS = 1024

_DEEPEST = 4


class Block(NamedTuple):
    """All pairs of some rows with others: KL and variance of shape (rows of one, rows of other).

    `close` are the pairs i < j, as rows of the whole, that cancelled too far to be trusted.
    """

    one: slice
    other: slice
    kl: np.ndarray
    variance: np.ndarray | None
    close: Pairs


class _Products(NamedTuple):
    """A A^T, the mixed terms of the fourth powers, and A diag(a) A^T, between two blocks."""

    second: np.ndarray
    fourth: np.ndarray | None
    shared: np.ndarray | None


def all_pairs(
    q: np.ndarray, sampling: Sampling | None = None, *, errors: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Squared distances between all rows, and their variances unless not wanted.

    Parameters
    ----------
    q
        Finite, float64, shape (K, N).
    sampling
        How the texts were sampled; None for independent texts that count alike.
    errors
        Whether the variances are wanted, which take most of the time.

    Returns
    -------
    kl, variance : ndarray of float64, shape (K, K)
        Symmetric, zero on the diagonal and between equal rows; bits per byte where `q` are
        coordinates, and their square. The variance is None unless `errors`.
    """
    sampling = sampling or Sampling()
    clusters = sampling.clusters
    if errors and (sampling.per_byte or (clusters is not None and len(clusters) < 2)):
        return _by_differences(q, sampling)
    kl, variance, close = _gram(q, sampling, errors=errors)
    refine(q, sampling, kl, variance, close)
    return kl, variance


def _by_differences(q: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """All pairs one by one, for what does not expand into matrix products."""
    kl, variance = np.zeros((len(q), len(q))), np.zeros((len(q), len(q)))
    i, j = np.triu_indices(len(q), 1)
    found, spread = chosen_pairs(q, i, j, sampling)
    _put(kl, i, j, found)
    _put(variance, i, j, spread)
    return kl, variance


def _blocks(length: int, longest: int) -> list[slice]:
    """Slices of nearly equal length, none longer than `longest`."""
    count = -(-length // longest)
    edges = [length * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _gram(
    q: np.ndarray, sampling: Sampling, *, errors: bool
) -> tuple[np.ndarray, np.ndarray | None, Pairs]:
    """All pairs by matrix products over blocks of points and texts.

    Returns KL, the variance of its estimate (None unless asked for), and the pairs i < j for which
    the products cancelled too far to be trusted.
    """
    kl = np.empty((len(q), len(q)))
    variance = np.empty((len(q), len(q))) if errors else None
    found: list[Pairs] = []
    for block in gram_blocks(q, sampling, errors=errors):
        one, other = block.one, block.other
        kl[one, other], kl[other, one] = block.kl, block.kl.T
        if variance is not None and block.variance is not None:
            variance[one, other], variance[other, one] = block.variance, block.variance.T
        found.append(block.close)
    np.fill_diagonal(kl, 0.0)
    if variance is not None:
        np.fill_diagonal(variance, 0.0)
    i, j = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    return kl, variance, (i, j)


def gram_blocks(q: np.ndarray, sampling: Sampling, *, errors: bool) -> Iterator[Block]:
    """All pairs block by block, each once (`one` never after `other`), by matrix products.

    Parameters
    ----------
    q
        Finite, float64, shape (K, N).
    sampling
        How the texts were sampled, not per byte.
    errors
        Whether the variances are wanted.
    """
    clusters, shares = sampling.clusters, sampling.expected
    if errors and clusters is not None:
        yield from _clustered_blocks(q, clusters, shares)
        return
    points, texts = q.shape
    centre = q.mean(axis=0)
    squares, powers, measured = np.zeros(points), np.zeros(points), np.zeros(points)
    columns = _blocks(texts, _TEXTS)
    rows = _blocks(points, _ROWS)
    for block in rows:
        for column in columns:
            a = q[block, column] - centre[column]
            a *= a
            squares[block] += a.sum(axis=1)
            if errors:
                powers[block] += np.einsum("ij,ij->i", a, a)
                if shares is not None:
                    measured[block] += a @ shares[column]
    evenness = 1.0 / texts if shares is None else float(shares @ shares)
    for k, one in enumerate(rows):
        for other in rows[k:]:
            second, fourth, shared = _products(
                q, centre, shares, one, other, columns, errors=errors
            )
            scale = squares[one, None] + squares[other]
            second *= -2.0
            second += scale
            close = second < _CLOSE_SQUARES * scale
            np.maximum(second, 0.0, out=second)
            spread = None
            if fourth is not None:
                scale = powers[one, None] + powers[other]
                fourth += scale
                close |= fourth < _CLOSE_FOURTHS * scale
                if shared is not None:
                    scale = measured[one, None] + measured[other]
                    shared *= -2.0
                    shared += scale
                spread = variance_from_moments(second, fourth, evenness, shared)
                if shared is not None:
                    close |= spread < _CLOSE_FOURTHS * second * scale
                    close |= spread < _CLOSE_VARIANCE * evenness * second * second
                close |= spread < _CLOSE_VARIANCE * fourth
                np.maximum(spread, 0.0, out=spread)
            yield Block(one, other, second, spread, _where(close, one, other))


def _where(close: np.ndarray, one: slice, other: slice) -> Pairs:
    i, j = np.nonzero(np.triu(close, 1) if one is other else close)
    return i + one.start, j + other.start


def _clustered_blocks(
    q: np.ndarray, clusters: Clusters, shares: np.ndarray | None
) -> Iterator[Block]:
    """As `gram_blocks`, with the variance over documents: C / (C - 1) sum_c (D_c - e_c KL)^2."""
    points, texts = q.shape
    centre = q.mean(axis=0)
    every = np.full(texts, 1.0 / texts) if shares is None else shares
    expected = clusters.sums(every)
    squares, powers, measured = np.zeros(points), np.zeros(points), np.zeros(points)
    rows = _blocks(points, _ROWS)
    for block in rows:
        for part in _blocks(block.stop - block.start, 64):
            at = slice(block.start + part.start, block.start + part.stop)
            g = clusters.sums((q[at] - centre) ** 2)
            squares[at], measured[at] = g.sum(axis=1), g @ expected
            powers[at] = np.einsum("ij,ij->i", g, g)
    evenness = float(expected @ expected)
    for k, one in enumerate(rows):
        for other in rows[k:]:
            second, fourth, shared = clustered_products(q, centre, clusters, expected, one, other)
            scale = squares[one, None] + squares[other]
            second *= -2.0
            second += scale
            close = second < _CLOSE_SQUARES * scale
            np.maximum(second, 0.0, out=second)
            lengths = measured[one, None] + measured[other]
            shared *= -2.0
            shared += lengths
            scale = powers[one, None] + powers[other]
            fourth += scale
            spread = variance_from_moments(second, fourth, evenness, shared)
            # What the sums were rounded at, against what is left of them.
            scale += second * (lengths + second * evenness)
            close |= spread < _CLOSE_CLUSTERED * scale
            np.maximum(spread, 0.0, out=spread)
            spread *= clusters.factor
            yield Block(one, other, second, spread, _where(close, one, other))


def _products(
    q: np.ndarray,
    centre: np.ndarray,
    shares: np.ndarray | None,
    one: slice,
    other: slice,
    columns: list[slice],
    *,
    errors: bool,
) -> _Products:
    shape = (one.stop - one.start, other.stop - other.start)
    same = one is other
    second, product = np.zeros(shape), np.empty(shape)
    fourth = np.zeros(shape) if errors else None
    shared = np.zeros(shape) if errors and shares is not None else None
    for column in columns:
        a = q[one, column] - centre[column]
        b = a if same else q[other, column] - centre[column]
        second += np.matmul(a, b.T, out=product)
        if fourth is None:
            continue
        if shared is not None and shares is not None:
            shared += np.matmul(a * shares[column], b.T, out=product)
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
    return _Products(second, fourth, shared)


def refine(
    q: np.ndarray,
    sampling: Sampling,
    kl: np.ndarray,
    variance: np.ndarray | None,
    close: Pairs,
    depth: int = 0,
) -> None:
    """Compute the close pairs again, in place.

    Groups of points that are close to one another go through the products again, around their own
    centre, where they no longer cancel; what is few or still close is done by differences.
    """
    i, j = _apart(q, close, kl, variance) if depth == 0 else close
    if not i.size:
        return
    # Here, since importing it takes a fifth of a second and few maps have such pairs.
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

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
        part_kl, part_variance, (still_i, still_j) = _gram(
            part, sampling, errors=variance is not None
        )
        at = np.searchsorted(members, i[chosen]), np.searchsorted(members, j[chosen])
        wanted = np.zeros(part_kl.shape, dtype=bool)
        wanted[at] = True
        still = wanted[still_i, still_j]
        refine(part, sampling, part_kl, part_variance, (still_i[still], still_j[still]), depth + 1)
        _put(kl, i[chosen], j[chosen], part_kl[at])
        if variance is not None and part_variance is not None:
            _put(variance, i[chosen], j[chosen], part_variance[at])
    if few:
        chosen = np.concatenate(few)
        direct_kl, direct_variance = chosen_pairs(q, i[chosen], j[chosen], sampling)
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
