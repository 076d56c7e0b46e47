"""The lineage on a map: a line from each parent to its child, where both are there."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.figures.lineage.lineage_map import lineage_map
from tests.figures.lineage.conftest import words


def test_the_map_draws_a_line_for_each_measured_pair(table):
    names = ["base", "child $x^", "deep", "merge", "orphan", "loop", "pool"]
    first = table.drop_duplicates("child").set_index("child").loc[names]
    places = np.random.default_rng(0).normal(size=(len(names), 2))
    points = first.reset_index(names="point").assign(tsne2_1=places[:, 0], tsne2_2=places[:, 1])
    made = lineage_map(points, table)
    lines = [len(c.get_segments()) for c in made.axes[0].collections if hasattr(c, "get_segments")]
    assert lines == [4, 2]
    assert len(words(made)) >= 5
