"""Numerics: one's own scale of KL divergence, as the medians of groups of pairs (Table 2a)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.paper_scale import PAPER_SCALE


def scale(groups: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Median, mean and standard deviation of the KL divergences in each group (Appendix A).

    Parameters
    ----------
    groups
        From a group's name to the KL divergences of its pairs, bits/byte.

    Returns
    -------
    DataFrame
        Columns ``group``, ``median``, ``mean``, ``sd``, ``n``, in the order given. The standard
        deviation is over n - 1, and missing for a single pair. Empty groups are left out.

    Raises
    ------
    InputError
        If a value is negative or not finite.
    """
    rows = []
    for group, given in groups.items():
        values = np.asarray(given, dtype=np.float64).ravel()
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            raise InputError(
                f"The group {group!r} holds a KL of {values[wrong][0]}; "
                "each is finite, and 0 or more."
            )
        if values.size:
            sd = float(values.std(ddof=1)) if values.size > 1 else np.nan
            rows.append((group, float(np.median(values)), float(values.mean()), sd, values.size))
    return pd.DataFrame(rows, columns=["group", "median", "mean", "sd", "n"])


def beside_paper(table: pd.DataFrame) -> pd.DataFrame:
    """`scale`'s table with ``paper_median``, missing for groups that the paper has not."""
    medians = {row.group: row.median for row in PAPER_SCALE}
    return table.assign(paper_median=table["group"].map(medians).astype(float))


def kl_of_pairs(kl: pd.DataFrame, pairs: Iterable[tuple[Hashable, Hashable]]) -> np.ndarray:
    """KL divergences of named pairs out of a square frame, shape (number of pairs,).

    Raises
    ------
    InputError
        If a name is not a point of the frame.
    """
    listed = list(pairs)
    index = pd.Index(kl.columns)
    i = index.get_indexer(pd.Index([a for a, _ in listed], dtype=index.dtype))
    j = index.get_indexer(pd.Index([b for _, b in listed], dtype=index.dtype))
    missing = np.flatnonzero((i < 0) | (j < 0))
    if missing.size:
        pair = listed[missing[0]]
        name = pair[0] if i[missing[0]] < 0 else pair[1]
        raise InputError(f"There is no point {name!r} on this map; its points are its columns.")
    return kl.to_numpy()[i, j]


def pairs_within(
    labels: Sequence[Hashable | None], limit: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of points that carry the same label; None and NaN are no label.

    Parameters
    ----------
    labels
        One a point, shape (K,).
    limit
        Most pairs to return, drawn without replacement.
    seed
        Of that draw.
    """
    codes, _ = pd.factorize(pd.Series(list(labels), dtype=object))
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    first, second = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    for members in groups:
        if members.size and codes[members[0]] >= 0:
            i, j = np.triu_indices(members.size, 1)
            first.append(members[i])
            second.append(members[j])
    return _drawn(np.concatenate(first), np.concatenate(second), limit, seed)


def pairs_at_random(points: int, limit: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` different pairs i < j out of `points` points, drawn with a seed."""
    i, j = np.triu_indices(points, 1)
    return _drawn(i, j, limit, seed)


def _drawn(
    i: np.ndarray, j: np.ndarray, limit: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    if limit is None or i.size <= limit:
        return i, j
    chosen = np.sort(np.random.default_rng(seed).choice(i.size, size=limit, replace=False))
    return i[chosen], j[chosen]
