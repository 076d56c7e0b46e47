"""One trajectory: the rows that it takes of a table."""

from __future__ import annotations

import pandas as pd

from mlflow_modelmap.figures.trajectory.path import rows_by_name


def test_rows_are_in_order_of_step():
    points = pd.DataFrame({"trajectory": ["b", "a", "b", None], "step": [20, 1, 10, None]})
    rows = rows_by_name(points, ["a", "b"])
    assert {name: list(found) for name, found in rows.items()} == {"a": [1], "b": [2, 0]}
