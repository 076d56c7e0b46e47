"""Words: a value as an error shows it - short, however long, deep or self-multiplying it is."""

from __future__ import annotations

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 4
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120


def shown(value: object) -> str:
    """The `repr` of a value, cut visibly where it is long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number with more digits than Python writes out
        return f"a {type(value).__name__} of very many digits"
