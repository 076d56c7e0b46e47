"""Memory between models: what is frozen for the while is not frozen afterwards."""

from __future__ import annotations

import gc
import weakref

from mlflow_modelmap.drivers.process.memory import free_memory, many_models


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
