"""Driver: parts of finished runs that a server process keeps in memory, within bounds."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

Part = TypeVar("Part")
MOST_BYTES = 256 * 1024 * 1024


class PageCache:
    """What was read of runs, the least recently used forgotten first.

    Parameters
    ----------
    most_bytes
        About how much is kept; a part larger than that is never kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._parts: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Part]) -> Part:
        """The part under a key, made where it is not held; an error is not kept."""
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key][0]
        # Two that ask at once both read: waiting for each other would let one slow store stop all.
        part = make()
        size = _size(part)
        with self._lock:
            if key not in self._parts and size <= self.most_bytes:
                self._parts[key] = (part, size)
                self.held_bytes += size
            while self.held_bytes > self.most_bytes:
                _, (_, gone) = self._parts.popitem(last=False)
                self.held_bytes -= gone
        return part


def _size(part: Any) -> int:
    """Bytes that nested lists, tuples, dicts, arrays and texts take, roughly."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    size = sys.getsizeof(part)
    if isinstance(part, dict):
        return size + sum(_size(value) for value in part.values())
    if isinstance(part, (list, tuple)):
        return size + sum(_size(value) for value in part)
    return size
