"""Words: a name that anybody may have written, no longer than a sentence or a picture bears."""

from __future__ import annotations

NAME = 200
"""Characters of a name that are shown; names of models have a hundred at most."""


def shortened(text: object, most: int = NAME) -> str:
    """The text, or its beginning and its end where it is longer than `most` characters."""
    whole = str(text)
    if len(whole) <= most:
        return whole
    head = most // 2
    return f"{whole[:head]}…{whole[len(whole) - (most - 1 - head) :]}"
