"""Numerics: one's own scale of KL divergence, as the medians of groups of pairs (Table 2a)."""

from __future__ import annotations

from collections.abc import Mapping

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
