"""Words: the order in which people expect names - seed2 before seed10, 410m before 1b."""

from __future__ import annotations

import re

_PIECES = re.compile(r"(\d+(?:\.\d+)?)([kmbt](?![a-z]))?|(\D)")
_SIZES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def natural(name: object) -> tuple[tuple[float, str], ...]:
    """A sort key by the numbers in a name, with the sizes that they stand for."""
    pieces = []
    for number, size, rest in _PIECES.findall(str(name).lower()):
        value = float(number) * _SIZES.get(size, 1.0) if number else -1.0
        pieces.append((value, rest))
    return tuple(pieces)
