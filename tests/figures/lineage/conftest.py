"""A lineage with odd names, cycles, merges and a model whose parent is gone."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

ROWS = [
    ("base", None, 0, np.nan, np.nan, None, "base"),
    ("child $x^", "base", 1, 0.2014, 0.0123, None, "base"),
    ("deep", "child $x^", 2, 0.04567, 0.00321, None, "base"),
    ("merge", "child $x^", 3, 0.1, 0.01, "merge", None),
    ("merge", "deep", 3, 0.1, 0.01, "merge", None),
    ("orphan", "gone", 1, np.nan, np.nan, None, "gone"),
    ("gone", None, 0, np.nan, np.nan, None, "gone"),
    ("loop", "pool", None, 0.1, 0.01, None, None),
    ("pool", "loop", None, 0.1, 0.01, None, None),
]


@pytest.fixture
def table():
    names = ["child", "parent", "generation", "kl", "se", "relation", "root"]
    text = dict.fromkeys(["child", "parent", "relation", "root"], "string")
    return pd.DataFrame(ROWS, columns=names).astype({"generation": "Int64", **text})


def words(figure):
    """Every text in a figure's axes, which is drawn for it."""
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for axes in figure.axes for text in axes.texts]
