"""Driver: parts of finished runs that a server process keeps in memory, within bounds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from cachetools import LRUCache, cached

Part = TypeVar("Part")
MOST_BYTES = 256 * 1024 * 1024
_PLAIN = {bytes, str, int, float, bool, type(None)}


class PageCache:
    """What was read of runs, the least recently used forgotten first.

    Parameters
    ----------
    most_bytes
        About how much is kept; a part larger than that is never kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._parts: LRUCache[Hashable, Any] = LRUCache(most_bytes, getsizeof=_size)
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """About how much is kept now."""
        return int(self._parts.currsize)

    def get(self, key: Hashable, make: Callable[[], Part]) -> Part:
        """The part under a key, made where it is not held; an error is not kept."""
        # Two that ask at once both read: waiting for each other would let one slow store stop all.
        return cached(self._parts, key=lambda: key, lock=self._lock)(make)()

    def get_for(self, seconds: float, key: Hashable, make: Callable[[], Part]) -> Part:
        """As `get`, of a part that is made again once it is older than so many seconds."""
        made, part = self.get(key, lambda: (time.monotonic(), make()))
        if time.monotonic() - made <= seconds:
            return part
        with self._lock:
            self._parts.pop(key, None)
        return self.get(key, lambda: (time.monotonic(), make()))[1]


def _size(part: Any) -> int:
    """Bytes that nested lists, tuples, dicts, arrays and texts take, roughly."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    size = sys.getsizeof(part)
    if isinstance(part, dict):
        return size + sum(_size(value) for value in part.values())
    if isinstance(part, (list, tuple)):
        if set(map(type, part)) <= _PLAIN:
            return size + sum(map(sys.getsizeof, part))
        return size + sum(_size(value) for value in part)
    return size
