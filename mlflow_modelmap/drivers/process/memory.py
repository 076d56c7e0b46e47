"""Driver: memory, given back between one model and the next."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_models() -> Iterator[None]:
    """Many models are loaded in here, with `free_memory` after each."""
    try:
        yield
    finally:
        gc.unfreeze()


def free_memory() -> None:
    """Give a model's memory back before the next one is loaded."""
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # all the libraries' objects need not be looked through after every model
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
