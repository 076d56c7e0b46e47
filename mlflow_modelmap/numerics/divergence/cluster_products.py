"""Numerics: what cluster-robust variances of all pairs need, by matrix products over documents.

With p_c = A_c A_c^T over the texts of document c and g_c the squared lengths of its rows, a pair's
squared distance within it is D_c = g_c,i + g_c,j - 2 p_c,ij. Its square and its product with the
document's share of the bytes expand into matrix products; only sum_c p_c^2 does not, which for
small documents is one product of columns of pairs of texts, and for large ones a product each.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlflow_modelmap.numerics.matrix.sampling import Clusters

_TEXTS = 512

_SMALL = 8
"""Texts of a document up to which its pairs of texts are columns of one product."""


class ClusteredProducts(NamedTuple):
    """A A^T, the mixed terms of sum_c D_c^2, and sum_c e_c p_c, between two blocks of points."""

    second: np.ndarray
    fourth: np.ndarray
    shared: np.ndarray


def blocks_of(clusters: Clusters) -> list[slice]:
    """Runs of whole documents that together have about 512 texts, as slices of documents."""
    edges, texts = [0], 0
    for number, size in enumerate(clusters.sizes.tolist()):
        if texts and texts + size > _TEXTS:
            edges.append(number)
            texts = 0
        texts += size
    edges.append(len(clusters))
    return [slice(a, b) for a, b in pairwise(edges)]


def clustered_products(
    q: np.ndarray,
    centre: np.ndarray,
    clusters: Clusters,
    expected: np.ndarray,
    one: slice,
    other: slice,
) -> ClusteredProducts:
    """The sums over texts and documents for the pairs between two blocks of points.

    Parameters
    ----------
    q, centre
        Coordinates, shape (K, N), and what is subtracted from each row, shape (N,).
    expected
        e_c, the share of the bytes of each document, shape (C,).
    one, other
        Blocks of points.

    Returns
    -------
    ClusteredProducts
        ``fourth`` is 2 g_i g_j - 4 g_i p - 4 g_j p + 4 p^2, summed over documents.
    """
    same = one is other
    shape = (one.stop - one.start, other.stop - other.start)
    second, fourth, shared = (np.zeros(shape) for _ in range(3))
    product = np.empty(shape)
    sizes = clusters.sizes
    for block in blocks_of(clusters):
        first, count = clusters.starts[block.start], sizes[block]
        texts = clusters.order[first : first + count.sum()]
        starts = clusters.starts[block] - first
        a = q[one][:, texts] - centre[texts]
        b = a if same else q[other][:, texts] - centre[texts]
        second += np.matmul(a, b.T, out=product)
        shared += np.matmul(a * np.repeat(expected[block], count), b.T, out=product)
        g = np.add.reduceat(a * a, starts, axis=1)
        h = g if same else np.add.reduceat(b * b, starts, axis=1)
        np.matmul(g, h.T, out=product)
        product *= 2.0
        fourth += product
        np.matmul(a * np.repeat(g, count, axis=1), b.T, out=product)
        product *= -4.0
        fourth += product + product.T if same else product
        if not same:
            np.matmul(a, (b * np.repeat(h, count, axis=1)).T, out=product)
            product *= -4.0
            fourth += product
        _add_squares(fourth, product, a, b, starts, count)
    return ClusteredProducts(second, fourth, shared)


def _add_squares(
    fourth: np.ndarray,
    product: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    starts: np.ndarray,
    count: np.ndarray,
) -> None:
    """Add 4 sum_c p_c^2: (sum_s a_s b_s)^2 is a sum over pairs of the document's texts."""
    left, right = [], []
    for start, texts in zip(starts.tolist(), count.tolist(), strict=True):
        if texts > _SMALL:
            inside = slice(start, start + texts)
            np.matmul(a[:, inside], b[:, inside].T, out=product)
            product *= product
            product *= 4.0
            fourth += product
            continue
        s, t = np.triu_indices(texts)
        left.append(s + start)
        right.append(t + start)
    if not left:
        return
    s, t = np.concatenate(left), np.concatenate(right)
    for columns in np.array_split(np.arange(s.size), -(-s.size // 1024)):
        x, y = s[columns], t[columns]
        times = np.where(x == y, 4.0, 8.0)
        np.matmul(a[:, x] * a[:, y] * times, (b[:, x] * b[:, y]).T, out=product)
        fourth += product
