"""How the coverage_*.py scripts print what they measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_COLUMNS = ("quantity", "law", "nominal", "measured", "note")
_SIZES = ("texts", "lags", "candidates")

Rows = Callable[..., list[dict[str, Any]]]


def table(rows: list[dict[str, Any]]) -> str:
    """A markdown table of the columns that every coverage has, with the sizes that these have."""
    sizes = [size for size in _SIZES if any(size in row for row in rows)]
    columns = (*_COLUMNS[:2], *sizes, *_COLUMNS[2:])
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(c), c) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any, column: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if column == "measured" else f"{value:g}"
    return str(value)


def main(rows: Rows, about: str | None) -> None:
    """Print one part's table, as its own script does."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--reduced", action="store_true", help="few repeats, as the test does")
    print(table(rows(parser.parse_args().reduced)))
