"""Words: what an error comes down to, on one line, short and without secrets."""

from __future__ import annotations

import re

from mlflow_modelmap.words.redact import redact

# Libraries put the type of an error that they wrap behind their sentence; it helps no reader.
_TYPE_BEFORE = re.compile(r"^\([\w.]+(?:Error|Exception)\) ")
_BEHIND_SQL = re.compile(r"\[SQL: |\(Background on this error at: ")
_TYPE_BEHIND = re.compile(r" \(\w+(?:Error|Exception)\)")


def reason(error: BaseException, most: int = 300) -> str:
    """The message of an error for use within a sentence; its type where it has none.

    Parameters
    ----------
    most
        Characters after which it is cut, visibly.
    """
    # A database's error has its type before what it says, and behind it the whole statement and an
    # address to read.
    said = " ".join(_BEHIND_SQL.split(str(error))[0].split())
    said = _TYPE_BEHIND.sub("", _TYPE_BEFORE.sub("", said))
    said = redact(said or type(error).__name__).rstrip(".")
    return said if len(said) <= most else f"{said[:most]} ..."


def reason_with_type(error: BaseException, most: int = 300) -> str:
    """As `reason`, behind the error's type: for errors that are not our own sentences."""
    said = reason(error, most)
    return said if said == type(error).__name__ else f"{type(error).__name__}: {said}"
