"""Tracking: a value as an MLflow filter takes it, in the quotes that it does not hold itself."""

from __future__ import annotations


def in_filter(value: str) -> str | None:
    """A value in quotes, or None where no filter can ask for it.

    Filters escape nothing, so that what holds both kinds of quotes cannot be asked for, nor what
    ends in a backslash, which hides the quote behind it from MLflow's parser; databases take UTF-8,
    and not all of them a zero byte.

    Examples
    --------
    >>> in_filter("pythia"), in_filter("Anna's")
    ("'pythia'", '"Anna\\'s"')
    >>> in_filter("Anna's \\"best\\"") is None
    True
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    if not value.strip() or "\0" in value or value.endswith("\\"):
        return None
    return next((f"{quote}{value}{quote}" for quote in "'\"" if quote not in value), None)
