"""What the texts of a set are called: responses where they have prompts."""

from __future__ import annotations

TEXTS, RESPONSES = "texts", "responses"


def called(prompts: object) -> str:
    """What texts with these prompts (None or nothing: without) are called.

    Examples
    --------
    >>> called(None), called(["a question"])
    ('texts', 'responses')
    """
    return RESPONSES if prompts else TEXTS


def one(unit: str) -> str:
    """A single one of them.

    Examples
    --------
    >>> one("responses")
    'response'
    """
    return unit.removesuffix("s")
