"""Driver: values of tables as JSON can hold them, and a page may show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened


def records(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON can hold them; see `plain`."""
    return [
        {column: plain(value) for column, value in zip(columns, row, strict=True)}
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]


def label(name: object) -> str:
    """A name as a page shows it: on one line, and not longer than one can read."""
    return shortened(one_line(name))


def plain(value: Any) -> Any:
    """A value as JSON can hold it: text on one line, None for what is missing or not finite."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        return label(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else number
