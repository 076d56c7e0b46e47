"""Driver: work packed for another process - what is long and shared (texts, tokens) goes once."""

from __future__ import annotations

import io
import pickle
import uuid
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache

_LONG = 16
"""Tuples of so many entries travel apart from what holds them, each once."""
_KEPT = 24


class Parcels:
    """Packs work for others.

    Parameters
    ----------
    put
        Keeps bytes under a name, where whoever unpacks can get them.
    """

    def __init__(self, put: Callable[[str, bytes], None]) -> None:
        self._put, self._sender = put, uuid.uuid4().hex[:12]
        # The tuples themselves are held, so that no other object gets their number meanwhile.
        self._sent: LRUCache[int, tuple[str, tuple[Any, ...]]] = LRUCache(_KEPT)
        self._count = 0

    def pack(self, work: Any) -> tuple[bytes, tuple[str, ...]]:
        """The work as bytes, and the names of what it needs besides."""
        names: list[str] = []
        buffer = io.BytesIO()

        def named(part: tuple[Any, ...]) -> str:
            names.append(self._name_of(part))
            return names[-1]

        _Pickler(buffer, named).dump(work)
        return buffer.getvalue(), tuple(dict.fromkeys(names))

    def _name_of(self, part: tuple[Any, ...]) -> str:
        held = self._sent.get(id(part))
        if held is None:
            self._count += 1
            held = f"{self._sender}-{self._count}", part
            self._put(held[0], pickle.dumps(part, protocol=5))
            self._sent[id(part)] = held
        return held[0]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, name_of: Callable[[tuple[Any, ...]], str]) -> None:
        super().__init__(file, protocol=5)
        self._name_of = name_of

    def persistent_id(self, part: Any) -> str | None:
        return self._name_of(part) if type(part) is tuple and len(part) >= _LONG else None


_unpacked: LRUCache[str, Any] = LRUCache(_KEPT)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, get: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self._get = get

    def persistent_load(self, name: str) -> Any:
        if name not in _unpacked:
            _unpacked[name] = pickle.loads(self._get(name))  # noqa: S301 - this sweep's own
        return _unpacked[name]


def unpack(packed: bytes, get: Callable[[str], bytes]) -> Any:
    """The work again; `get` gives what was put under a name."""
    return _Unpickler(io.BytesIO(packed), get).load()
