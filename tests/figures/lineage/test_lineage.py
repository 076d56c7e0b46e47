"""The lineage figures draw every model, with odd names, cycles, merges and one model alone."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.figures.lineage.lineage import lineage_map, lineage_tree, measured_tree_figure
from mlflow_modelmap.numerics.lineage.measured_tree import neighbour_joining

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
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_tree_shows_kl_and_its_error_to_the_same_digit(table):
    said = words(lineage_tree(table))
    assert {"0.20 ± 0.01", "0.046 ± 0.003", "not measured", r"child \$x^"} <= set(said)
    assert "loop" not in said
    assert sum("±" in text for text in said) == 2


def test_the_map_draws_a_line_for_each_measured_pair(table):
    names = ["base", "child $x^", "deep", "merge", "orphan", "loop", "pool"]
    first = table.drop_duplicates("child").set_index("child").loc[names]
    places = np.random.default_rng(0).normal(size=(len(names), 2))
    points = first.reset_index(names="point").assign(tsne2_1=places[:, 0], tsne2_2=places[:, 1])
    made = lineage_map(points, table)
    lines = [len(c.get_segments()) for c in made.axes[0].collections if hasattr(c, "get_segments")]
    assert lines == [4, 2]
    assert len(words(made)) >= 5


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_the_measured_tree_names_every_model(count):
    places = np.random.default_rng(0).normal(size=(count, 4))
    kl = ((places[:, None] - places) ** 2).sum(axis=2)
    names = [f"model {k}" for k in range(count)]
    made = measured_tree_figure(neighbour_joining(kl), names, dict.fromkeys(names, "root"))
    assert sorted(words(made)) == sorted(names)
