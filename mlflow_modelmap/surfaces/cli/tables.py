"""Surface: results as lines of a plain table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow_modelmap.words.one_line import one_line


def table(rows: Sequence[Sequence[Any]], headings: Sequence[str]) -> Iterator[str]:
    """Lines of a plain table: text to the left, numbers to the right, None as a dash.

    Names that others wrote come on one line, without what a terminal would obey.
    """
    shown = [["-" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *shown, strict=True)]
    numeric = [
        bool(rows) and all(c is None or isinstance(c, (int, float)) or _number(c) for c in column)
        for column in zip(*rows, strict=True)
    ] or [False] * len(headings)
    for row in (headings, *shown):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _number(cell: Any) -> bool:
    try:
        float(str(cell).replace(",", ""))
    except ValueError:
        return False
    return True
