"""Scoring: memory that one batch frees stays at hand for the next one, on Linux.

glibc gives large blocks back to the system when they are freed and asks for them again at once;
every page is then cleared and mapped anew, which costs some percent of a score on CPU.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of malloc.h; a threshold above 32 MiB is refused.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK = 32 << 20
_USUAL, _KEPT = 2 * _LARGEST_BLOCK, 2**31 - 1


@functools.cache
def _glibc() -> Any:
    """The C library, or None where it is another one or has no such settings."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018
    except (OSError, AttributeError):
        return None
    return library


@contextmanager
def kept_heap() -> Iterator[None]:
    """Inside, freed memory stays with the process; at the end what is free is given back.

    Blocks of up to 32 MiB come from the heap from then on, as glibc has it by itself once a block
    of that size was freed.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    library.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, _USUAL)
        library.malloc_trim(0)
