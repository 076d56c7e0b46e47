"""Words: the first few of many, and how many more there are."""

from __future__ import annotations

from collections.abc import Collection


def listed(things: Collection[object], most: int = 4, *, quoted: bool = True) -> str:
    """``'a', 'b' and 3 more``: at most `most` of them, quoted or as they are; none is "none"."""
    shown = [repr(thing) if quoted else str(thing) for thing in list(things)[:most]]
    more = len(things) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")
