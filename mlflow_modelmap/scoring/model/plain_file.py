"""Scoring (no torch here): a model's small files, looked at from outside before they are read."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.reason import reason

CONFIGURATION_BYTES = 1 << 24
"""More than any configuration has: the largest known ones are below 1 MB."""


def check_plain(path: str, most: int | None = None) -> int:
    """The bytes of a file that may be read; nothing of it is read here.

    A link counts as what it leads to, wherever that is: the Hub's cache is made of links.

    Parameters
    ----------
    most
        Bytes that a file of its kind may have.

    Raises
    ------
    InputError
        If it is a pipe, device or directory, a link that leads nowhere, or larger.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        broken = "is a link that leads nowhere" if os.path.islink(path) else "cannot be read"
        raise InputError(f"{path!r} {broken} ({error.strerror}); fetch it again.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path!r} is no plain file; put the file itself, or a link to it, there.")
    if most is not None and status.st_size > most:
        raise InputError(
            f"{path!r} has {status.st_size:,} bytes, more than the {most:,} that are read of such "
            "a file; fetch it again, or move it away if it is no part of the model."
        )
    return status.st_size


def read_json(path: str, most: int = CONFIGURATION_BYTES) -> Any:
    """What a JSON file holds.

    Raises
    ------
    InputError
        If it is no plain file, larger than `most` bytes, no JSON, or nested too deeply.
    """
    check_plain(path, most)
    try:
        with open(path, "rb") as file:
            return json.loads(file.read(most + 1))
    except RecursionError:
        raise InputError(
            f"{path!r} cannot be read as JSON (it is nested too deeply); fetch it again."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path!r} cannot be read as JSON ({reason(error)}); fetch it again."
        ) from None
