"""Words: a number of things, with the word for one or for several."""

from __future__ import annotations


def counted(number: int, one: str, several: str | None = None) -> str:
    """``1 run``, ``2 runs``, ``12,000 runs``.

    Parameters
    ----------
    number
        How many.
    one, several
        The word for one and for any other number; by default `one` with an s.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
