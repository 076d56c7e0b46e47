"""The measurement on GPUs runs, on tiny shapes and whatever is there; speeds are not asserted."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


@pytest.mark.parametrize("part", ["8B", "head", "batches", "waits", "memory"])
def test_parts_run(gpu, part, capsys):
    rows = gpu.main(["--tiny", "--part", part])
    assert rows
    assert capsys.readouterr().out.startswith("rows: ")


def test_what_is_told_is_of_the_median_turn_and_not_of_the_first(gpu, monkeypatch):
    shapes, turns = importlib.import_module("gpu_shapes"), []

    def seconds(work):
        work()
        return {1: 3.0, 2: 1.0, 3: 2.0}[len(turns) - 1]

    monkeypatch.setattr(shapes.scoring, "seconds", seconds)
    bench = shapes.Bench(tiny=True)
    bench.turns = 3
    found, took, _ = bench.timed(lambda: turns.append(1) or len(turns))
    assert (found, took) == (4, 2.0)


@pytest.mark.heavy
def test_the_whole_table(gpu, capsys):
    rows = gpu.main(["--tiny"])
    shown = capsys.readouterr().out
    assert [row.note for row in rows if "failed" in row.note] == []
    assert all(str(row) in shown for row in rows)


def test_a_part_that_fails_or_dies_or_finds_no_time_says_so_and_the_others_go_on(
    gpu, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(gpu, "__file__", str(tmp_path / "parts.py"))
    (tmp_path / "parts.py").write_text(
        "import os, sys, time\n"
        "part = sys.argv[2]\n"
        "if part == 'lens': raise RuntimeError('no such kernel')\n"
        "if part == 'exact': os.abort()\n"
        "if part == 'noise': time.sleep(600)\n"
        """print('loaded'); print('rows: [{"what": "%s", "speed": 12.5}]' % part)\n"""
    )
    rows = gpu.main(["--tiny", "--only", "lens", "exact", "head"])
    assert [row.note for row in rows[:2]] == [
        "failed: RuntimeError: no such kernel",
        "failed: it ended with -6",
    ]
    assert (rows[2].what, rows[2].speed) == ("head", 12.5)
    assert all(str(row) in capsys.readouterr().out for row in rows[2:])
    (row,) = gpu.main(["--tiny", "--minutes", "0", "--only", "lens"])
    assert row.note == "no time left"
    (row,) = gpu.main(["--tiny", "--minutes", "0.02", "--only", "noise"])
    assert "time" in row.note


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_tiny_is_named(gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny tries the script on CPU" in capsys.readouterr().err
