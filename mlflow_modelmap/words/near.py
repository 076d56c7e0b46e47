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
    known = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(str(value).casefold(), known, n=1)
    return f" Did you mean {known[near[0]]!r}?" if near else ""
