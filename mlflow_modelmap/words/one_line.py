"""Words: any text on one line, without what controls a screen or turns its writing around."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def one_line(text: object) -> str:
    """Text on one line, without control characters or what turns the writing direction around."""
    line = _CONTROLS.sub("", " ".join(str(text).split()))
    return line.encode("utf-8", "replace").decode("utf-8")
