"""Numerics: how far KL divergences depend on the texts they are measured on (Appendix C)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix, kl_pairs
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, coordinates

FEWEST_TEXTS = 2


def correlation(kl: ArrayLike, other: ArrayLike) -> float:
    """Pearson correlation of the KL divergences of all pairs of the same points.

    Parameters
    ----------
    kl, other
        Bits per byte, shape (K, K), K >= 3.

    Raises
    ------
    InputError
        If the shapes differ, there are fewer than three points, or one of the two does not vary.
    """
    first, second = np.asarray(kl, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape or first.shape[0] != first.shape[1]:
        raise InputError(f"KL tables of shapes {first.shape} and {second.shape} are not alike.")
    if len(first) < 3:
        raise InputError(
            f"{len(first)} points have too few pairs for a correlation; three or more are needed."
        )
    above = np.triu_indices(len(first), 1)
    a, b = first[above] - first[above].mean(), second[above] - second[above].mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if not scale > 0:
        raise InputError("All KL divergences are equal, so no correlation can be computed.")
    return float(np.clip((a @ b) / scale, -1.0, 1.0))


def between_halves(matrix: LogLikelihoodMatrix, splits: int = 10, seed: int = 0) -> pd.DataFrame:
    """Correlation of all KL divergences between random halves of the texts.

    Parameters
    ----------
    matrix
        K >= 3 points on N >= 4 texts.
    splits
        How many random divisions.
    seed
        Of the divisions.

    Returns
    -------
    DataFrame
        Columns ``split`` (from 0), ``texts`` (in the first half), ``correlation``, and
        ``mean_ratio``: the mean KL on the second half over that on the first.
    """
    texts = matrix.values.shape[1]
    if texts < 2 * FEWEST_TEXTS:
        raise InputError(f"{texts} texts cannot be halved; {2 * FEWEST_TEXTS} or more are needed.")
    if splits < 1:
        raise InputError(f"{splits} splits are not possible; give 1 or more.")
    generator = np.random.default_rng(seed)
    rows = []
    for split in range(splits):
        order = generator.permutation(texts)
        one, two = np.sort(order[: texts // 2]), np.sort(order[texts // 2 :])
        first = kl_matrix(coordinates(matrix.keep_texts(one)))
        second = kl_matrix(coordinates(matrix.keep_texts(two)))
        mean = float(first.mean())
        rows.append((split, one.size, correlation(first, second), float(second.mean()) / mean))
    return pd.DataFrame(rows, columns=["split", "texts", "correlation", "mean_ratio"])


def between_text_sets(matrix: LogLikelihoodMatrix, other: LogLikelihoodMatrix) -> float:
    """Correlation of all KL divergences of the same points on two text sets.

    Raises
    ------
    InputError
        If fewer than three points are on both.
    """
    both = [point for point in matrix.points if point in set(other.points)]
    if len(both) < 3:
        raise InputError(
            f"{len(both)} points were scored on both text sets; three or more are needed."
        )

    def table(of: LogLikelihoodMatrix) -> np.ndarray:
        index = {point: row for row, point in enumerate(of.points)}
        return kl_matrix(coordinates(of.keep_points(np.array([index[p] for p in both]))))

    return correlation(table(matrix), table(other))


def kl_by_domain(
    matrix: LogLikelihoodMatrix,
    domains: Sequence[str],
    i: ArrayLike,
    j: ArrayLike,
) -> pd.DataFrame:
    """KL divergence of chosen pairs on the texts of each domain alone.

    Parameters
    ----------
    matrix
        K points on N texts.
    domains
        One a text, shape (N,).
    i, j
        Rows of the pairs, shape (p,).

    Returns
    -------
    DataFrame
        Columns ``domain``, ``texts``, ``pair`` (position in `i`), ``kl``, ``se`` (bits/byte, with
        the domain's own mean bytes). Domains of a single text are left out.

    Raises
    ------
    InputError
        If there is not one domain a text.
    """
    labels = np.asarray(domains, dtype=object)
    if labels.size != matrix.values.shape[1]:
        raise InputError(
            f"{labels.size} domains do not fit {matrix.values.shape[1]} texts; give one a text."
        )
    i, j = np.asarray(i, dtype=np.intp), np.asarray(j, dtype=np.intp)
    frames = []
    for domain in sorted(set(labels.tolist()), key=str):
        chosen = np.flatnonzero(labels == domain)
        if chosen.size < FEWEST_TEXTS:
            continue
        own = matrix.keep_texts(chosen)
        kl, se = kl_pairs(coordinates(own), i, j, own.shares)
        frames.append(
            pd.DataFrame(
                {
                    "domain": str(domain),
                    "texts": chosen.size,
                    "pair": np.arange(i.size),
                    "kl": kl,
                    "se": se,
                }
            )
        )
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame(columns=["domain", "texts", "pair", "kl", "se"])
