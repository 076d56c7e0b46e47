"""Numerics: one's own scale of KL divergence, as the medians of groups of pairs (Table 2a)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.paper_scale import OF_SET_UP, PAPER_SCALE
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened


class OwnGroup(NamedTuple):
    """A group of one's own scale: its median in bits/byte, and what is that far from what."""

    median: float
    far: str


_FAR = {
    "Later": "neighbouring late checkpoints of yours are from each other",
    "Early": "neighbouring early checkpoints of yours are from each other",
    "Seed": "your seeds are from each other",
    "Size": "your sizes are from each other",
    "8-bit": "your 8-bit copies are from their originals",
    "4-bit": "your 4-bit copies are from their originals",
    "FT": "your fine-tunes are from what they were made from",
    "Intra-type": "two of your models of one type are from each other",
    "Random": "two of your models taken at random are from each other",
    "Layer": "neighbouring layers of your models are from each other",
}


def far(group: str, precisions: Collection[str] = ()) -> str:
    """What is how far from what in a group, to follow "as far as".

    Parameters
    ----------
    group
        Its name.
    precisions
        Of its quantised copies, where it is made of such.
    """
    if group in OF_SET_UP and precisions:
        return f"your {' and '.join(sorted(precisions))} copies are from their originals"
    return _FAR.get(group) or f"your models that share {shortened(one_line(group), 40)!r} are apart"


def own_groups(table: pd.DataFrame) -> tuple[OwnGroup, ...]:
    """The groups that a KL can be told by, from `scale`'s table; none where it does not fit.

    Parameters
    ----------
    table
        Columns ``group``, ``median`` and, from version 0.2 on, ``far``.
    """
    if not {"group", "median"} <= set(table.columns):
        return ()
    medians = pd.to_numeric(table["median"], errors="coerce").to_numpy(dtype=float)
    names = table["group"].astype(str)
    written = table["far"] if "far" in table.columns else [None] * len(table)
    return tuple(
        OwnGroup(float(median), one_line(said) if isinstance(said, str) and said else far(name))
        for name, median, said in zip(names, medians, written, strict=True)
        if np.isfinite(median) and median > 0
    )


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
        deviation is over n, as in the paper, and missing for a single pair. Empty groups are left
        out.

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
            sd = float(values.std()) if values.size > 1 else np.nan
            rows.append((group, float(np.median(values)), float(values.mean()), sd, values.size))
    return pd.DataFrame(rows, columns=["group", "median", "mean", "sd", "n"])


def beside_paper(table: pd.DataFrame) -> pd.DataFrame:
    """`scale`'s table with ``paper_median``, missing for groups that the paper has not."""
    medians = {row.group: row.median for row in PAPER_SCALE}
    return table.assign(paper_median=table["group"].map(medians).astype(float))
