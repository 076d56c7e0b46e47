"""Values of tables as JSON can hold them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.drivers.page.json_values import plain, records


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (float("nan"), None),
        (np.inf, None),
        (np.int64(3), 3),
        (np.float64(3.0), 3.0),
        (0.25, 0.25),
        ("two\nlines \x1b[1m", "two lines [1m"),
    ],
)
def test_a_value_is_told_plainly(value, told):
    found = plain(value)
    assert found == told
    assert isinstance(found, type(told))


def test_rows_hold_the_columns_that_were_asked_for():
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": pd.array([None, 7], dtype="Int64")})
    assert records(table, ("c", "b")) == [{"c": None, "b": 0.5}, {"c": 7, "b": None}]
    json.dumps(records(table, list(table.columns)), allow_nan=False)
