"""Driver: the vectors of many points as a file holds them, whatever its format, and its texts."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.largest_sizes import (
    MEBIBYTE,
    Limit,
    NotRead,
    megabytes,
)
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened

LARGEST = Limit(4096 * MEBIBYTE, 1_000_000, "modelmap import")
"""What is read of a file: 50,000 points on 10,000 texts in float64."""

MOST_LABELS = 20_000_000
"""Of all points of a file together; each takes about 60 bytes of memory."""

VALUES = "log_likelihoods"
"""What the vectors are called in a file."""
COLUMNS = ("model", "revision", "commit", "trajectory", "model_type", "base_model", "precision")
"""What a file may say of a point in words; `step`, `layer` and `noise_kl` are numbers."""
WHOLE = ("step", "layer")
NUMBERS = ("noise_kl",)
OF_OUR_TABLES = ("row", "run_id", "bits_per_byte", "bits_per_byte_se")
"""Columns of our own tables that are made anew."""


@dataclass(frozen=True, eq=False)
class VectorsInFile:
    """What a file holds.

    Attributes
    ----------
    values
        Log-likelihoods in nats, float64 or float32, shape (K, N).
    points
        One row a point: ``point``, its name, and what is known of any: `COLUMNS`, `WHOLE`,
        `NUMBERS`, and tags by their own names.
    bytes, scored_tokens, weights, documents
        Of the texts, shape (N,), where the file says them; documents by number, -1 for none.
    text_set, text_set_name
        Digest and name of the text set, where the file says them.
    notices
        What is to be told, a sentence each.
    named
        Whether the names of points and models are the file's own, rather than keys of which names
        are made.
    """

    values: np.ndarray
    points: pd.DataFrame
    bytes: np.ndarray | None = None
    scored_tokens: np.ndarray | None = None
    weights: np.ndarray | None = None
    documents: np.ndarray | None = None
    text_set: str | None = None
    text_set_name: str | None = None
    notices: tuple[str, ...] = ()
    named: bool = True


def path_of(file: str | os.PathLike[str], limit: Limit = LARGEST) -> Path:
    """The path of a plain file that is there and not too large.

    Raises
    ------
    InputError
    """
    written = os.fspath(file)
    path = Path(written).expanduser()
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        why = getattr(error, "strerror", None) or error
        raise InputError(f"The file {shortened(written)!r} cannot be read: {why}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{shortened(written)!r} is no file; name a file.")
    if found.st_size > limit.size:
        raise InputError(
            f"The file {shortened(written)!r} has {megabytes(found.st_size)}, and {limit.reader} "
            f"reads at most {megabytes(limit.size)}; split it."
        )
    return path


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Say that a file cannot be read as what it is taken for, whatever a library makes of it.

    Parameters
    ----------
    what
        It should be, behind "is no".

    Raises
    ------
    InputError
    """
    written = shortened(str(path))
    try:
        yield
    except InputError:
        raise
    except NotRead as error:
        raise InputError(f"The file {written!r} {error}.") from None
    except OSError as error:
        why = error.strerror or reason(error)
        raise InputError(f"The file {written!r} cannot be read: {why}.") from None
    except Exception as error:  # of numpy, pyarrow, zipfile, pickle
        raise InputError(
            f"The file {written!r} is no {what} ({reason(error)}); a Git LFS pointer must be "
            "fetched first (git lfs pull)."
        ) from None


def check_count(points: int, labels: int) -> None:
    """Refuse more points, or labels of them, than are read, before any becomes an object.

    Parameters
    ----------
    labels
        Of each point.

    Raises
    ------
    NotRead
    """
    if points > LARGEST.rows:
        raise NotRead(
            f"has {points:,} points, and {LARGEST.reader} reads at most {LARGEST.rows:,}; split it"
        )
    if points * labels > MOST_LABELS:
        raise NotRead(
            f"has {labels:,} labels of each of {points:,} points, and {LARGEST.reader} reads at "
            f"most {MOST_LABELS:,}; split it"
        )


def whole(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of texts that count something, as int64; 3.0 is 3.

    Raises
    ------
    NotRead
        If one is no whole number.
    """
    wrong = ~((np.abs(values) <= 2.0**53) & (values == np.floor(values)))  # of NaN too
    if values.dtype.kind == "f" and wrong.any():
        at = int(np.argmax(wrong))
        raise NotRead(
            f"holds {values.flat[at]} as the {name} of text {at}; give a whole number for each text"
        )
    return values.astype(np.int64)


def compact(values: np.ndarray) -> np.ndarray:
    """Float32 where that loses nothing, else float64, with rows one behind the other."""
    half = values.astype(np.float32)
    lossless = values.dtype == np.float32 or all(
        np.array_equal(a, b) for a, b in zip(half, values, strict=True)
    )
    return np.ascontiguousarray(half if lossless else values.astype(np.float64, copy=False))
