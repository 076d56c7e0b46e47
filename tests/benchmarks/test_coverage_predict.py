"""Intervals of predictions cover what the docs say, by the reduced simulation."""

from __future__ import annotations

import importlib
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_chance_is_not_found_and_the_truth_is_covered(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    rows = importlib.import_module("coverage_predict").rows(reduced=True)
    # Of 40 at 95 %, fewer than 33 come twice in a thousand times.
    for row in rows:
        if row["quantity"] != "r, jackknife alone":
            assert row["measured"] >= 33 / 40, row
        if row["quantity"] == "r" and row["signal"] == "nothing":
            assert row["above"] <= 4 / 40, row
        if row["quantity"] == "one new point":
            assert 0.9 < row["measured"] < 0.995, row
    weak = {row["quantity"]: row["measured"] for row in rows if row["signal"] == "weak"}
    assert weak["r, jackknife alone"] < weak["r"]
