"""Tracking: how much the pages of a Parquet column unpack to, as each of them says itself.

The footer of a file sums it up, and nobody checks the sum; a reader makes room for what the header
of a page says. Headers are in Thrift's compact protocol.
"""

from __future__ import annotations

PAGES = 1_000_000
"""Pages of one column, beyond which a file is none that anyone would write."""


def unpacked_bytes(data: bytes, start: int, length: int, values: int) -> int:
    """Bytes of all pages of a column chunk once they are unpacked.

    Parameters
    ----------
    data
        The whole file.
    start, length
        Where the chunk lies in it.
    values
        How many values it holds; a reader stops after them.

    Raises
    ------
    ValueError
        If there is no page where one should be.
    """
    at, end, total, seen = start, start + length, 0, 0
    if start < 0 or end > len(data):
        raise ValueError("its columns lie outside of the file")
    for _ in range(PAGES):
        if at >= end or seen >= values:
            return total
        at, unpacked, packed, held = _page(data, at)
        if unpacked < 0 or packed < 0:
            raise ValueError("a page of it has a negative size")
        total += unpacked
        seen += max(held, 0)
        at += packed
    raise ValueError(f"a column of it has more than {PAGES:,} pages")


def _page(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Where a page's content begins, its unpacked and packed bytes, and its values."""
    found = {2: -1, 3: -1}
    values = 0
    try:
        field = 0
        while True:
            at, field, kind = _field(data, at, field)
            if kind == 0:
                return at, found[2], found[3], values
            if kind == 5 and field in found:
                at, number = _integer(data, at)
                found[field] = number
            elif kind == 12 and field in (5, 8):  # of a data page: its first field is a number
                at, values = _values(data, at)
            else:
                at = _skip(data, at, kind, 0)
    except IndexError:
        raise ValueError("a page of it is cut short") from None


def _values(data: bytes, at: int) -> tuple[int, int]:
    field = values = 0
    while True:
        at, field, kind = _field(data, at, field)
        if kind == 0:
            return at, values
        if field == 1 and kind == 5:
            at, values = _integer(data, at)
        else:
            at = _skip(data, at, kind, 1)


def _field(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    head = data[at]
    kind = head & 15
    if head >> 4 or kind == 0:
        return at + 1, before + (head >> 4), kind
    at, number = _integer(data, at + 1)
    return at, number, kind


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return at, number
        shift += 7
        if shift > 63:
            raise ValueError("a page of it has no header")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    at, number = _varint(data, at)
    return at, (number >> 1) ^ -(number & 1)


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Behind a value of some kind."""
    if kind in (1, 2):  # a truth value, which is its kind
        return at
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        return _varint(data, at)[0]
    if kind == 7:
        return at + 8
    if kind == 8:
        at, length = _varint(data, at)
        return at + length
    if kind == 12 and depth < 8:
        field = 0
        while True:
            at, field, inner = _field(data, at, field)
            if inner == 0:
                return at
            at = _skip(data, at, inner, depth + 1)
    raise ValueError("a page of it has no header")
