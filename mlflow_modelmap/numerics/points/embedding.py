"""Numerics: the coordinates in two or three dimensions that a model map is drawn at."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.points.identical import first_identical

_FEWEST_POINTS = 4
_DENSE = 1500
_EXACT = 100
_FAST_FOURIER = 8_000
"""Points beyond which the interpolation by Fourier transforms beats the tree."""


class Principal(NamedTuple):
    """Principal components: coordinates (K, n) and each one's share of the variance (n,)."""

    coordinates: np.ndarray
    explained: np.ndarray


class Embedding(NamedTuple):
    """t-SNE coordinates (K, n), the perplexity used (None if t-SNE was not), and a notice."""

    coordinates: np.ndarray
    perplexity: float | None
    notice: str | None


def pca(q: ArrayLike, components: int = 2) -> Principal:
    """Principal components of the points, from the smaller of the two Gram matrices.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    components
        How many; beyond the rank of `q` they are zero.

    Returns
    -------
    Principal
        Distances are in the square root of bits/byte, as between rows of `q`. The sign of a
        component is such that its largest coordinate is positive.

    Raises
    ------
    InputError
        If `q` is no matrix, or fewer than one component is asked for.
    """
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 2 or 0 in q.shape or components < 1:
        raise InputError(f"There are no {components} components of coordinates of shape {q.shape}.")
    points, texts = q.shape
    centre = q.mean(axis=0)
    total = float(np.einsum("ij,ij->", q, q) - points * (centre @ centre))
    wide = points <= texts
    size = min(points, texts)
    if size > _DENSE and components < size // 20:
        values, vectors = _leading(q, centre, components)
    else:
        a = q - centre
        values, vectors = _largest(a @ a.T if wide else a.T @ a, components)
    # What is below the product's rounding is no direction.
    values = np.where(values > total * 1e-13, values, 0.0)
    there = values > 0
    found = vectors * np.sqrt(values) if wide else (q @ vectors - centre @ vectors) * there
    coordinates = np.zeros((points, components))
    coordinates[:, : found.shape[1]] = _signed(found)
    explained = np.zeros(components)
    if total > 0:
        explained[: values.size] = values / total
    return Principal(coordinates, explained)


def tsne(
    q: ArrayLike,
    dimensions: int = 2,
    perplexity: float = 30.0,
    seed: int = 0,
    *,
    kl: ArrayLike | None = None,
    start: np.ndarray | None = None,
    near: tuple[np.ndarray, np.ndarray] | None = None,
) -> Embedding:
    """t-SNE of the points on their KL divergences (Figures 1 and 2, Appendix D.1).

    Points whose rows are identical count as one, and lie on each other.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    dimensions
        2 or 3.
    perplexity
        As in the paper, 30; lowered to (K - 1) / 3 where there are too few points.
    seed
        Of the small noise laid over the principal components that it starts from.
    kl
        `kl_matrix(q)`, shape (K, K), if it is at hand.
    start
        Principal components of `q`, shape (K, 2 or more), if they are at hand.
    near
        Of many points, the nearest others of each and their KL in bits/byte, each of shape (K, k)
        with k three times the perplexity: they stand in for all KL, and openTSNE for scikit-learn.
        Of those that differ alone, in the order of their first rows, where some are identical.

    Returns
    -------
    Embedding
        With a notice where the perplexity was lowered, or where the principal components stand in
        because there are fewer than 4 points or no two of them differ.

    Raises
    ------
    InputError
        If the dimensions are neither 2 nor 3, or the perplexity is below 1 or not finite.
    """
    q = np.asarray(q, dtype=np.float64)
    if dimensions not in (2, 3):
        raise InputError(f"A map of {dimensions} dimensions is not drawn; ask for 2 or 3.")
    if not 1 <= perplexity < np.inf:
        raise InputError(f"A perplexity of {perplexity} is not possible; give 1 or more.")
    start = (pca(q, dimensions).coordinates if start is None else start)[:, :dimensions]
    own, back = np.unique(first_identical(q), return_inverse=True)
    if len(own) == 1 and len(q) >= _FEWEST_POINTS:
        return Embedding(start, None, "All points coincide, so t-SNE has nothing to place.")
    if len(own) < len(q):
        kl = None if kl is None else np.asarray(kl)[np.ix_(own, own)]
        placed = tsne(q[own], dimensions, perplexity, seed, kl=kl, start=start[own], near=near)
        return placed._replace(coordinates=placed.coordinates[back])
    points = len(q)
    if points < _FEWEST_POINTS:
        return Embedding(
            start,
            None,
            f"t-SNE needs at least {_FEWEST_POINTS} points that differ and there are {points}; "
            "the principal components are shown instead.",
        )
    spread = float(start[:, 0].std())
    if spread == 0.0:
        return Embedding(start, None, "All points coincide, so t-SNE has nothing to place.")
    notice = None
    highest = (points - 1) / 3.0
    if perplexity > highest:
        notice = (
            f"The perplexity was lowered from {perplexity:g} to {highest:.3g}, "
            f"a third of the other points, because there are only {points}."
        )
        perplexity = highest
    noise = np.random.default_rng(seed).standard_normal(start.shape)
    # sklearn's own scale of a start from principal components.
    start = 1e-4 * (start / spread + 0.01 * noise)
    if near is not None:
        return Embedding(_of_neighbours(*near, start, perplexity, seed), perplexity, notice)
    from sklearn.manifold import TSNE  # takes longer than reading a map

    distances = np.sqrt(kl_matrix(q) if kl is None else np.array(kl, dtype=np.float64))
    model = TSNE(
        n_components=dimensions,
        perplexity=perplexity,
        metric="precomputed",
        init=start.astype(np.float32),
        # sklearn's "auto" is 50 at least, at which a map of few points flies apart in 3D, and its
        # tree method may not leave the start.
        learning_rate=min(max(points / 48.0, 50.0), points / 10.0),
        method="exact" if points <= _EXACT else "barnes_hut",
        random_state=seed,
    )
    return Embedding(model.fit_transform(distances).astype(np.float64), perplexity, notice)


def check_open_tsne() -> None:
    """An InputError where openTSNE is not installed, which there is no wheel of for some machines.

    Raises
    ------
    InputError
    """
    if find_spec("openTSNE") is None:
        raise InputError(
            "t-SNE of so many points, or beside a map's points, is made by openTSNE, which is not "
            "installed; pip install openTSNE."
        )


def _of_neighbours(
    rows: np.ndarray, kl: np.ndarray, start: np.ndarray, perplexity: float, seed: int
) -> np.ndarray:
    """t-SNE on the nearest neighbours alone, shape (K, n)."""
    import openTSNE
    from joblib import cpu_count
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    threads = cpu_count()  # the same coordinates, to the bit, with any number
    affinities = PerplexityBasedNN(
        perplexity=perplexity,
        knn_index=PrecomputedNeighbors(rows, np.sqrt(kl)),
        n_jobs=threads,
    )
    points, dimensions = start.shape
    fast = dimensions == 2 and points > _FAST_FOURIER
    model = openTSNE.TSNE(
        n_components=dimensions,
        negative_gradient_method="fft" if fast else "bh",
        random_state=seed,
        n_jobs=threads,
    )
    return np.asarray(model.fit(affinities=affinities, initialization=start), dtype=np.float64)


def _largest(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, descending, and their vectors."""
    size = len(gram)
    count = min(count, size)
    values, vectors = linalg.eigh(gram, subset_by_index=[size - count, size - 1])
    return values[::-1], vectors[:, ::-1]


def _leading(q: np.ndarray, centre: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_largest` of the smaller Gram matrix of q less its centre, which is never made."""
    points, texts = q.shape
    wide = points <= texts

    def product(v: np.ndarray) -> np.ndarray:
        v = np.ravel(v)
        if wide:
            inner = q.T @ v - centre * v.sum()
            return q @ inner - centre @ inner
        inner = q @ v - centre @ v
        return q.T @ inner - centre * inner.sum()

    size = min(points, texts)
    gram = LinearOperator((size, size), matvec=product, dtype=np.float64)
    values, vectors = eigsh(gram, k=count, v0=np.ones(size) + np.arange(size) / size)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _signed(columns: np.ndarray) -> np.ndarray:
    """Each column with the sign that makes its largest entry positive, the first among equals."""
    size = np.abs(columns)
    first = np.argmax(size >= size.max(axis=0) * (1.0 - 1e-6), axis=0)
    sign = np.where(columns[first, np.arange(columns.shape[1])] < 0, -1.0, 1.0)
    return columns * sign + 0.0
