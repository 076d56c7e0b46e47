"""Tracking: what an error of MLflow means - there is no such thing, or the store itself failed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

STORE_ERRORS = (MlflowException, SQLAlchemyError)
"""MLflow opens the database of a registry at the first question, and lets its errors through."""
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_MALFORMED = "INVALID_PARAMETER_VALUE"
_GAVE_WAY = ("deadlock", "record has changed since last read")
"""A database ended one of two transactions that met; the second is MariaDB's word from 11.6 on."""
_BUSY = ("database is locked", "lock wait timeout", *_GAVE_WAY)
_UNIQUE = ("unique constraint", "duplicate key", "duplicate entry")
_RACES = 3


def is_missing(error: BaseException) -> bool:
    """Whether what was asked for by name or id is not there, or could never be.

    A malformed id is one that nothing has. Whatever else MLflow raises - a server that is down, a
    database that is damaged, a permission that is missing - says nothing about what is there.
    """
    return isinstance(error, MlflowException) and error.error_code in (*_MISSING, _MALFORMED)


def is_malformed(error: BaseException) -> bool:
    """Whether the store understood that it was asked nonsense, such as a filter that is none."""
    return isinstance(error, MlflowException) and error.error_code == _MALFORMED


class Unanswered(TrackingError):
    """The store itself failed; the sentence holds its address and its own words."""


def failed(what: str, address: str, error: BaseException) -> TrackingError:
    """The sentence for a store that cannot answer: ``{what} cannot be read from ADDRESS``.

    Parameters
    ----------
    what
        What was asked for and what could not be done, such as ``Run 'x' cannot be read``.
    """
    return Unanswered(
        f"{what} from {redact(address)!r} ({reason(error)}); see whether the store answers, and "
        "try again."
    )


def not_written(what: str, address: str, error: BaseException) -> TrackingError:
    """The sentence for a store that does not take something.

    Parameters
    ----------
    what
        What could not be done, such as ``Run 'x' cannot be logged``.
    """
    return TrackingError(
        f"{what} in {redact(address)!r} ({reason(error)}); see whether the store answers and "
        "takes it, and try again."
    )


def is_busy(error: BaseException) -> bool:
    """Whether a database was only held by somebody else for too long."""
    said = str(error).lower()
    return any(words in said for words in _BUSY)


def was_raced(error: BaseException) -> bool:
    """Whether somebody else wrote the same row in between.

    MLflow looks whether a row is there and then writes it; a database that has it by then, or that
    finds two such writers waiting for each other, refuses.
    """
    said = str(error).lower()
    return isinstance(error, STORE_ERRORS) and any(words in said for words in _UNIQUE + _GAVE_WAY)


def despite_races(write: Callable[[], object]) -> None:
    """Write what may be written twice; again where somebody else wrote the same row in between.

    The second time MLflow finds that row.
    """
    for _ in range(_RACES):
        try:
            write()
            return
        except STORE_ERRORS as error:
            if not was_raced(error):
                raise
        time.sleep(random.uniform(0, 0.1))  # two that met do not meet again
    write()


def sentence(error: BaseException) -> str | None:
    """What to tell a user of an error that a store let through; None of any other error."""
    if not isinstance(error, STORE_ERRORS):
        return None
    return f"The MLflow store failed ({reason(error)}); see whether it answers, and try again."
