"""Words: any text on one line, without what controls a screen or turns its writing around."""

from __future__ import annotations

import re

_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]"
)
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PILED = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")
"""Accents above accents, which a screen draws over the lines above and below."""


def one_line(text: object) -> str:
    """Text on one line, without control characters or what turns the writing direction around."""
    line = _PILED.sub(r"\1", _CONTROLS.sub("", " ".join(str(text).split())))
    return line.encode("utf-8", "replace").decode("utf-8")
