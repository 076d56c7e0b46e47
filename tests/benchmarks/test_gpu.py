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


def test_parts_run_and_make_one_table(gpu, capsys):
    rows = gpu.main(["--tiny", "--only", "8B", "head"])
    shown = capsys.readouterr().out
    assert [row.note for row in rows if "failed" in row.note] == []
    assert {row.what for row in rows} >= {"Llama 8B bfloat16", "head alone, plain"}
    assert all(str(row) in shown for row in rows)


def test_a_part_that_fails_or_finds_no_time_says_so(gpu, monkeypatch):
    def broken(bench):
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(gpu.PARTS, "lens", broken)
    (row,) = gpu.main(["--tiny", "--only", "lens"])
    assert row.note == "failed: RuntimeError: no such kernel"
    (row,) = gpu.main(["--tiny", "--minutes", "0", "--only", "lens"])
    assert row.note == "no time left"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_tiny_is_named(gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny tries the script on CPU" in capsys.readouterr().err
