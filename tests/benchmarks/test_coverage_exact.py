"""The interval of an exact KL covers what the docs say; every part can be printed in one table."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_the_interval_of_an_exact_kl_covers_what_the_docs_say(script):
    rows = script("coverage_exact").rows(reduced=True)
    assert {row["texts"] for row in rows} == {30, 200}
    for row in rows:
        # 400 draws each; at 30 texts of the heaviest law 92 % are said.
        lowest = 0.88 if row["law"] == "log-normal 1.3" and row["texts"] == 30 else 0.915
        assert lowest <= row["measured"] <= 0.99, row


def test_every_part_of_the_joint_table_is_a_script(script):
    shown = script("coverage_table").table
    joint = {path.stem.removeprefix("coverage_") for path in BENCHMARKS.glob("coverage_*.py")}
    namespace: dict[str, object] = {"__name__": "coverage", "__file__": str(BENCHMARKS / "c.py")}
    exec(compile((BENCHMARKS / "coverage.py").read_text(), "coverage.py", "exec"), namespace)
    assert joint == {*namespace["PARTS"], "table"}
    rows = [
        {"quantity": "a", "law": "b", "texts": 30, "nominal": 0.95, "measured": 0.9, "note": "c"},
        {"quantity": "d", "law": "e", "lags": 5, "nominal": 0.95, "measured": 1.0, "note": "f"},
    ]
    assert (
        shown(rows).splitlines()[0]
        == "| quantity | law | texts | lags | nominal | measured | note |"
    )
    assert shown(rows).splitlines()[-1] == "| d | e |  | 5 | 0.95 | 1.000 | f |"
