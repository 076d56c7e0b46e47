"""Numerics: further points put into the picture of a map, whose own points stay where they are."""

from __future__ import annotations

import numpy as np

_ITERATIONS = 250
_FOR_QUALITY = 10


def project(q: np.ndarray, drawn: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Principal components of further points, shape (n, c): their projections onto the map's.

    Parameters
    ----------
    q
        Coordinates of the points that the components were made of, shape (K, N).
    drawn
        Their principal components, shape (K, c).
    new
        Coordinates of the others, shape (n, N).
    """
    square = np.square(drawn).sum(axis=0)
    axes = (q.T @ drawn) / np.where(square > 0, square, np.inf)
    return (new - q.mean(axis=0)) @ axes


def place(drawn: np.ndarray, rows: np.ndarray, kl: np.ndarray, perplexity: float) -> np.ndarray:
    """Further points in a t-SNE, each by itself; shape (n, d).

    A copy of a point lies on it. Any other begins at the mean of its ten nearest points, weighted
    with 1 / KL. From there t-SNE's cost is minimised over its place alone, as openTSNE's
    `transform` does, in 250 steps against all points of the map. Where the place that is found
    keeps no more of its nearest points near than the mean, the mean stays.

    Parameters
    ----------
    drawn
        t-SNE coordinates of the map's points, shape (K, d), d 2 or 3; they are not changed.
    rows, kl
        Of each new point its nearest points of the map, nearest first, and their KL in bits/byte,
        shape (n, k), with k three times the perplexity or K.
    perplexity
        Of the map's t-SNE.
    """
    import openTSNE
    from openTSNE.affinity import PrecomputedAffinities, joint_probabilities_nn
    from scipy import sparse

    points = len(drawn)
    affinities = joint_probabilities_nn(
        rows,
        np.sqrt(kl),
        [min(perplexity, rows.shape[1] / 3.0)],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=points,
    )
    settings = {"negative_gradient_method": "bh", "n_jobs": 1}
    reference = openTSNE.TSNEEmbedding(
        np.array(drawn, dtype=np.float64),
        PrecomputedAffinities(sparse.identity(points, format="csr")),
        **settings,
    )
    near, far = rows[:, :_FOR_QUALITY], kl[:, :_FOR_QUALITY]
    weight = 1.0 / np.maximum(far, np.maximum(far.max(axis=1, keepdims=True), 1e-300) * 1e-12)
    start = (drawn[near] * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1)[:, None]
    partial = openTSNE.tsne.PartialTSNEEmbedding(start, reference, sparse.csr_matrix(affinities))
    found = partial.optimize(
        _ITERATIONS,
        learning_rate=0.1,
        exaggeration=1.5,
        momentum=0.8,
        max_grad_norm=0.25,
        **settings,
    )
    found = np.asarray(found, dtype=np.float64)
    better = _kept(near, drawn, found) > _kept(near, drawn, start)
    placed = np.where(better[:, None], found, start)
    return np.where(kl[:, :1] == 0.0, drawn[rows[:, 0]], placed)


def neighbours_kept(kl: np.ndarray, drawn: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Which share of each new point's ten nearest points is among its ten nearest in a picture.

    Parameters
    ----------
    kl
        Of the new points with those of the map, bits/byte, shape (n, K).
    drawn, new
        Where the points of the map and the new ones are drawn, shape (K, d) and (n, d).
    """
    near = np.argsort(kl, axis=1, kind="stable")[:, :_FOR_QUALITY]
    return _kept(near, drawn, new)


def _kept(near: np.ndarray, drawn: np.ndarray, new: np.ndarray) -> np.ndarray:
    kept = np.empty(len(near))
    for row, (of, at) in enumerate(zip(near, new, strict=True)):
        shown = np.argsort(np.square(drawn - at).sum(axis=1), kind="stable")[: len(of)]
        kept[row] = np.isin(of, shown).mean()
    return kept
