"""What somebody may have meant by a value that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the choice that is spelt most alike, else nothing.

    Examples
    --------
    >>> did_you_mean("bflot16", ("float32", "bfloat16"))
    " Did you mean 'bfloat16'?"
    >>> did_you_mean("seven", ("float32", "bfloat16"))
    ''
    """
    near = nearest(value, choices)
    return f" Did you mean {near!r}?" if near else ""


def perhaps(value: object, choices: Iterable[str]) -> str:
    """The same in brackets, for the end of a sentence, before its stop.

    Examples
    --------
    >>> perhaps("int5", ("int8", "nf4"))
    " (did you mean 'int8'?)"
    """
    near = nearest(value, choices)
    return f" (did you mean {near!r}?)" if near else ""


def nearest(value: object, choices: Iterable[str]) -> str | None:
    """The choice that is spelt most alike, or None."""
    known = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(str(value).casefold(), known, n=1)
    return known[near[0]] if near else None
