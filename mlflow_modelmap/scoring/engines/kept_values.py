"""Scoring (no torch here): values that are read so far, on disk, for whoever goes on with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

_AGAIN = " again"
_MOST = 1.0
"""Nats: a logarithm of a probability, by what rounding leaves of it."""


class KeptValues:
    """The values of rows, written down one by one as they come.

    Parameters
    ----------
    path
        A file of this score alone; its first line says of which rows.
    again
        Whether only values will do of an attempt that was itself made whatever there was.

    Attributes
    ----------
    found
        Rows that an earlier attempt has read: their values in nats.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self.path, self.again = path, again
        self.found: dict[int, float] = {}
        self._file: IO[str] | None = None

    def open(self, ids: list[np.ndarray]) -> KeptValues:
        """Read what is there of these rows, and be ready for more.

        Where it is of other rows it is begun anew; a line that was cut short does not count. A disk
        without room is no reason not to score.
        """
        digest = hashlib.sha256()
        for row in ids:
            digest.update(len(row).to_bytes(8, "big") + row.astype("<i8").tobytes())
        of = digest.hexdigest()
        with contextlib.suppress(OSError):
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            if lines and lines[0] in ({f"{of}{_AGAIN}"} if self.again else {of, f"{of}{_AGAIN}"}):
                self.found = _values(lines[1:], len(ids))
        self._begin(f"{of}{_AGAIN}" if self.again else of)
        return self

    def forget(self) -> None:
        """What was found is no longer true of the model: begin anew."""
        self.found = {}
        with contextlib.suppress(OSError):
            of = self.path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            self._begin(of)

    def _begin(self, of: str) -> None:
        if self._file is not None:
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            known = (json.dumps([row, value]) for row, value in self.found.items())
            beside.write_text("\n".join((of, *known)) + "\n", encoding="utf-8")
            os.replace(beside, self.path)
            self._file = self.path.open("a", encoding="utf-8")

    def add(self, row: int, value: float) -> None:
        """Write a row's value down."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(json.dumps([row, value]) + "\n")
                self._file.flush()

    def __enter__(self) -> KeptValues:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


def _values(lines: list[str], count: int) -> dict[int, float]:
    found: dict[int, float] = {}
    for line in lines:
        try:
            row, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if (
            type(row) is int
            and 0 <= row < count
            and isinstance(value, float)
            and -math.inf < value <= _MOST
        ):
            found[row] = value
    return found
