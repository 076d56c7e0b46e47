"""Numbers of things, with the right word."""

from __future__ import annotations

from mlflow_modelmap.words.counted import counted


def test_one_is_one_and_all_else_are_several():
    assert [counted(n, "run") for n in (0, 1, 2, 12_000)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "12,000 runs",
    ]
    assert counted(2, "trajectory", "trajectories") == "2 trajectories"
    assert counted(1, "trajectory", "trajectories") == "1 trajectory"
