"""Driver: memory, given back between one model and the next."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEPT_SHAPES = 256
"""Shapes that oneDNN remembers how to multiply: 0.4 MB each, of 1,024 by itself."""
_frozen = False  # `gc.get_freeze_count` walks through all that is frozen


@contextmanager
def many_models() -> Iterator[None]:
    """Many models are loaded in here, with `free_memory` after each."""
    global _frozen
    by_others, _frozen = gc.get_freeze_count() > 0, False  # and theirs to undo
    try:
        yield
    finally:
        if not by_others:
            gc.unfreeze()
        _frozen = False


def free_memory(kept: bool = False) -> None:
    """Give a model's memory back before the next one is loaded.

    `kept` says that some model stays, which has to be found again once it is let go.
    """
    global _frozen
    gc.collect()
    if not kept and not _frozen:
        gc.freeze()  # all the libraries' objects need not be looked through after every model
        _frozen = True
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def remember_few_shapes() -> None:
    """Let oneDNN keep less for shapes that it has multiplied, in a program's own process.

    Batches of other lengths have other shapes, so that it kept 500 MB in the end, and is no faster
    for it. It counts before PyTorch is imported; what the user has set stays.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", str(KEPT_SHAPES))
    if "DNNL_PRIMITIVE_CACHE_CAPACITY" not in os.environ:  # its other name, which comes second
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_SHAPES))
