"""A sweep reads a base once for the adapters of it that come one after the other."""

from __future__ import annotations

import gc
import shutil
import weakref
from typing import Any

import numpy as np
import pytest

from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.scoring.load import load
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import adapters


@pytest.fixture
def read(monkeypatch) -> list[Any]:
    """What was read, in order; never are two of them in memory."""
    real, models = load._read, []

    def counted(*arguments: Any) -> Any:
        gc.collect()
        assert not any(model() for _, model in models), "two models in memory"
        model = real(*arguments)
        models.append((arguments[0], weakref.ref(model)))
        return model

    monkeypatch.setattr(load, "_read", counted)
    return models


def made(folder, base, number: int):
    return str(
        adapters.make_adapter(folder / f"a{number}", base, adapters.lora("llama"), seed=number)
    )


def test_the_base_is_read_once(store, tiny_models, tmp_path, texts, read):
    base, other = tiny_models("llama"), tiny_models("llama", seed=1)
    first, second, third, scored = (made(tmp_path, base, number) for number in range(4))
    elsewhere = made(tmp_path, other, 5)
    wrong = made(tmp_path, tiny_models("llama", hidden_size=64), 6)
    score(scored, texts, progress=False)
    read.clear()
    plan = [
        str(other),
        first,
        second,
        scored,
        {"model": third, "precisions": ["float32", "bfloat16"]},
        {"model": wrong, "base": str(base)},
        {"model": second, "name": "after a failure"},
        elsewhere,
    ]
    done = sweep({"models": plan}, texts=texts, progress=False)
    states = ["scored"] * 3 + ["skipped"] + ["scored"] * 2 + ["failed"] + ["scored"] * 2
    assert [row.state for row in done.rows] == states
    assert [path for path, _ in read] == [str(other), str(base), str(base), str(other)]
    gc.collect()
    assert not any(model() for _, model in read)
    matrix, _ = read_matrix(select_runs(run_ids=[done.rows[2].run_id]))
    alone = score(second, texts, again=True, progress=False)
    assert np.array_equal(matrix.values[0], alone.log_likelihoods)


def test_an_adapter_that_is_gone_by_its_turn_fails_alone(
    store, tiny_models, tmp_path, texts, read, monkeypatch
):
    base = tiny_models("llama")
    first, second, third = (made(tmp_path, base, number) for number in range(3))
    told = []

    def tell(row):
        told.append(row.state)
        shutil.rmtree(second, ignore_errors=True)

    done = sweep({"models": [first, second, third]}, texts=texts, progress=False, tell=tell)
    assert [row.state for row in done.rows] == told == ["scored", "failed", "scored"]
    assert len(read) == 1
