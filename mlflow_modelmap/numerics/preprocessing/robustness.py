"""Numerics: how far KL divergences depend on the texts they are measured on (Appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import FEWEST_TEXTS as FEWEST_WITH_ERROR
from mlflow_modelmap.numerics.divergence.kl import kl_matrix, kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.irregular_texts import worst_first
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

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


Clean = Callable[[LogLikelihoodMatrix], LogLikelihoodMatrix]
"""From the points on some texts as they were scored to those that are compared, preprocessed."""


def half_texts(texts: int, seed: int | np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random division of so many texts into halves: their numbers, ascending."""
    order = np.random.default_rng(seed).permutation(texts)
    return np.sort(order[: texts // 2]), np.sort(order[texts // 2 :])


def between_halves(
    matrix: LogLikelihoodMatrix, splits: int = 10, seed: int = 0, clean: Clean | None = None
) -> pd.DataFrame:
    """Correlation of all KL divergences between random halves of the texts.

    Parameters
    ----------
    matrix
        K >= 3 points on N >= 4 texts.
    splits
        How many random divisions.
    seed
        Of the divisions.
    clean
        What is done to each half alone, before its KL divergences are computed: clipping, and
        dropping irregular texts, which must not be chosen by the other half. None for nothing.

    Returns
    -------
    DataFrame
        Columns ``split`` (from 0), ``texts`` (kept of the first half), ``correlation``, and
        ``mean_ratio``: the mean KL on the second half over that on the first.

    Raises
    ------
    InputError
        If there are fewer than four texts or three points, no split is asked for, or KL does not
        vary.
    """
    texts = matrix.values.shape[1]
    if texts < 2 * FEWEST_TEXTS:
        raise InputError(f"{texts} texts cannot be halved; {2 * FEWEST_TEXTS} or more are needed.")
    if splits < 1:
        raise InputError(f"{splits} splits are not possible; give 1 or more.")
    generator = np.random.default_rng(seed)
    rows = []
    for split in range(splits):
        parts = [matrix.keep_texts(part) for part in half_texts(texts, generator)]
        parts = parts if clean is None else [clean(part) for part in parts]
        first, second = (kl_matrix(coordinates(part)) for part in parts)
        mean = float(first.mean())
        rows.append(
            (
                split,
                parts[0].values.shape[1],
                correlation(first, second),
                float(second.mean()) / mean,
            )
        )
    return pd.DataFrame(rows, columns=["split", "texts", "correlation", "mean_ratio"])


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
        the domain's own mean bytes). Domains of a single text are left out; of domains of fewer
        than 10 texts the error is NaN.

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
        kl, se = kl_pairs(coordinates(own), i, j, own.sampling)
        if chosen.size < FEWEST_WITH_ERROR:
            se = np.where(kl == 0, se, np.nan)
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


REMOVED = (10, *range(100, 1001, 100))
"""Numbers of removed texts in the paper's Figure 13."""


def kl_after_removing(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    scores: np.ndarray,
    *,
    removed: Sequence[int] = REMOVED,
    from_step: int = 0,
) -> pd.DataFrame:
    """KL between consecutive checkpoints when more and more texts are removed (Figure 13).

    Parameters
    ----------
    matrix
        Clipped, with all texts.
    given
        Trajectories with rows of `matrix`.
    scores
        Of each text, shape (N,); the highest are removed first.
    removed
        How many; numbers that leave fewer than two texts are passed over.
    from_step
        Pairs before it are left out.

    Returns
    -------
    DataFrame
        Columns ``removed``, ``trajectory``, ``step_from``, ``step``, ``kl`` (bits/byte, each with
        the mean bytes of the texts that are left).
    """
    texts = matrix.values.shape[1]
    counts = [count for count in dict.fromkeys(removed) if 0 <= count <= texts - 2]
    order = worst_first(scores)[::-1]
    weight = np.ones(texts) if matrix.shares is None else matrix.shares[order]
    mass = np.cumsum(weight)
    size = np.cumsum(weight * matrix.text_bytes[order])
    frames = []
    for t in given:
        late = t.steps[:-1] >= from_step
        difference = matrix.values[t.rows[1:][late]] - matrix.values[t.rows[:-1][late]]
        difference -= difference.mean(axis=1, keepdims=True)
        difference = difference[:, order]
        total = np.cumsum(weight * difference, axis=1)
        squares = np.cumsum(weight * difference * difference, axis=1)
        for count in counts:
            last = texts - count - 1
            mean_bytes = size[last] / mass[last]
            variance = squares[:, last] / mass[last] - (total[:, last] / mass[last]) ** 2
            frames.append(
                pd.DataFrame(
                    {
                        "removed": count,
                        "trajectory": t.name,
                        "step_from": t.steps[:-1][late],
                        "step": t.steps[1:][late],
                        "kl": np.maximum(variance, 0.0) / (2.0 * mean_bytes * np.log(2.0)),
                    }
                )
            )
    columns = ["removed", "trajectory", "step_from", "step", "kl"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
