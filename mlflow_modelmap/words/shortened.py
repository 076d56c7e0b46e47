"""Words: the beginning and the end of what is too long to be shown whole."""

from __future__ import annotations


def shortened(text: str, most: int = 120) -> str:
    """`text`, or its first and last characters with how many more there are between them."""
    if len(text) <= most:
        return text
    last = most // 4
    first = most - last
    return f"{text[:first]} [{len(text) - first - last:,} more] {text[-last:]}"
