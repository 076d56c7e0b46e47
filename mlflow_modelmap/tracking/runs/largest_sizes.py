"""Tracking: how much of a run is read at most - anybody may have written it.

A small file can unpack to any size: one of 1.35 MB filled 5 GB. What a file says of itself is
looked at first, and what is larger than these limits is not read.
"""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 2**20


class NotRead(ValueError):
    """Why an artifact is not read: what goes on, in a sentence, behind its name."""


@dataclass(frozen=True)
class Limit:
    """What one artifact may hold.

    Attributes
    ----------
    size
        Bytes of the file, and of what is read of it once it is unpacked.
    rows
        Of a table.
    reader
        Who reads no more than that, as a sentence names it.
    """

    size: int
    rows: int
    reader: str


PROGRAM = Limit(2048 * MEBIBYTE, 100_000_000, "mlflow-modelmap")
"""A table of a study: KL between 16,000 points, beyond which a map is not computed in memory."""
VECTORS = Limit(512 * MEBIBYTE, 12_000_000, "mlflow-modelmap")
"""A score: 100,000 texts at 100 layers, in six columns."""
PAGE = Limit(128 * MEBIBYTE, 100_000, "the page")
"""A table whose rows a browser draws or lists; a server has many readers and one memory."""
PAGE_PAIRS = Limit(256 * MEBIBYTE, 10_000_000, "the page")
"""A table of pairs, of which the page tells a few; as much as its cache holds."""
TEXTS = Limit(1024 * MEBIBYTE, 12_000_000, "mlflow-modelmap")
"""A text set as JSONL."""
TEXT = Limit(16 * MEBIBYTE, 1_000_000, "mlflow-modelmap")
"""JSON, CSV and plain text, which take twenty times as much once they are read: the index of
50,000 checkpoints, a decision, notices."""

CSV_COLUMNS = 1_000
"""Columns of a CSV file; an index of checkpoints has twenty."""
LAYERS = 1_000
"""Layers of a model; the deepest known has a few hundred."""
LARGEST_LOG_LIKELIHOOD = 1e9
"""Nats of one text, either way: a text of a million tokens has 1e7. The fourth powers of larger
ones, which a standard error is made of, would leave nothing of the others'."""
LARGEST_TEXT = 2**40
"""Bytes of one text."""
LARGEST_WEIGHT = 1e100
"""Of one text; the sum of larger ones is not finite."""
LARGEST_STEP = 10**18
"""Training steps are kept in 64 bits."""
LATEST_TIME = 253_402_300_799_999
"""The end of the year 9999 in milliseconds since 1970; later times are none."""
NAMED = 10
"""Runs that are left out are named one by one up to so many."""


def megabytes(size: int) -> str:
    """A number of bytes for a sentence."""
    return f"{size / 1e6:,.1f} MB"
