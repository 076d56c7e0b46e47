"""For the site: parameters that are described together are told apart, each with its type."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

TOGETHER = re.compile(r"^(\*{0,2}\w+(?:, \w+)+)\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)


def apart(docstring: str) -> str:
    """A docstring in which `a, b` with one description are two entries with that description."""

    def entries(found: re.Match[str]) -> str:
        names, described = found.groups()
        return "\n".join(f"{name}\n{described.rstrip()}" for name in names.split(", ")) + "\n"

    head, underline, rest = docstring.partition("Parameters\n----------\n")
    return head + underline + TOGETHER.sub(entries, rest)


class Apart(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for whatever has a docstring."""
        if obj.docstring:
            obj.docstring.value = apart(obj.docstring.value)
