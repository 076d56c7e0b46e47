"""Memory between models: what is frozen for the while is not frozen afterwards."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest
import torch

from mlflow_modelmap.drivers.process.memory import (
    KEPT_SHAPES,
    free_memory,
    many_models,
    remember_few_shapes,
)

CAPACITIES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


class Model:
    """It refers to itself, as modules do, so that only the collector can end it."""

    def __init__(self) -> None:
        self.itself = self


def freed_each_time(frozen_before: bool) -> None:
    with many_models():
        assert bool(gc.get_freeze_count()) == frozen_before
        for _ in range(2):
            model = Model()
            there = weakref.ref(model)
            del model
            free_memory()
            assert there() is None
            assert gc.get_freeze_count()
    assert bool(gc.get_freeze_count()) == frozen_before


def test_each_model_is_freed_and_nothing_stays_frozen_but_what_was():
    gc.freeze()
    freed_each_time(frozen_before=True)
    gc.unfreeze()
    try:
        freed_each_time(frozen_before=False)
    finally:
        gc.freeze()  # as tests are run


def test_few_shapes_are_remembered_unless_the_user_says_otherwise(monkeypatch):
    for name in CAPACITIES:
        monkeypatch.setenv(name, "")  # to be set again at the end, whatever happens in between
        monkeypatch.delenv(name)
    remember_few_shapes()
    assert [os.environ[name] for name in CAPACITIES] == [str(KEPT_SHAPES)] * 2
    monkeypatch.setenv(CAPACITIES[0], "7")
    remember_few_shapes()
    assert os.environ[CAPACITIES[0]] == "7"
    monkeypatch.delenv(CAPACITIES[1])
    monkeypatch.setenv("DNNL_PRIMITIVE_CACHE_CAPACITY", "9")
    remember_few_shapes()
    assert CAPACITIES[1] not in os.environ


PROGRAM = """
import sys
if sys.argv[1] == "few":
    from mlflow_modelmap.drivers.process.memory import remember_few_shapes
    remember_few_shapes()
import torch
def resident():
    return int(open("/proc/self/statm").read().split()[1])
torch.set_num_threads(1)
weight = torch.randn(256, 256)
def product(rows):
    torch.ops.mkldnn._linear_pointwise(torch.zeros(rows, 256), weight, None, "none", [], "")
with torch.no_grad():
    product(900)
    before = resident()
    for rows in range(899, 99, -1):
        product(rows)
    print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_onednn_keeps_less_for_800_shapes():
    environment = {name: value for name, value in os.environ.items() if name not in CAPACITIES}
    pages = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, how],
                env=environment, capture_output=True, text=True, check=True,
            ).stdout
        )
        for how in ("few", "many")
    }  # fmt: skip
    assert pages["few"] < 0.7 * pages["many"]
