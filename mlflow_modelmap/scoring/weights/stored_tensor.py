"""Scoring (no torch here): one tensor of a safetensors file, read in pieces of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mlflow_modelmap.errors import InputError

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
CODES = {"I8": "i1", "U8": "u1"}
_SIZES = {"I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}  # others are bytes


@dataclass(frozen=True)
class StoredTensor:
    """One tensor on disk.

    Attributes
    ----------
    name, shape
        As stored; the shape of a quantised one is that of the numbers that it stands for.
    dtype
        safetensors' name: F64, F32, F16 or BF16; I8 or U8 for codes.
    file
        The file that holds it.
    offset
        Where its first byte lies in that file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str
    offset: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        """Bytes a stored number."""
        kind = (FLOATS | CODES).get(self.dtype)
        return _SIZES.get(self.dtype, 1) if kind is None else np.dtype(kind).itemsize

    def read_into(self, file: BinaryIO, start: int, out: np.ndarray) -> None:
        """Fill `out` (float64, shape (n,)) with elements start .. start + n, exactly.

        Parameters
        ----------
        file
            The tensor's file, open in binary.
        start
            First element that is wanted.
        out
            Float64, shape (n,).

        Raises
        ------
        InputError
            If the file ends before them.
        """
        raw = self.stored(file, start, len(out))
        if self.dtype == "BF16":
            wide = raw.astype("<u4")
            wide <<= 16
            raw = wide.view("<f4")
        out[:] = raw

    def stored(self, file: BinaryIO, start: int, count: int) -> np.ndarray:
        """Numbers as they are stored, shape (count,); bfloat16 as integers.

        Raises
        ------
        InputError
            If the file ends before them.
        """
        raw = np.empty(count, dtype=(FLOATS | CODES)[self.dtype])
        file.seek(self.offset + start * raw.itemsize)
        if file.readinto(raw) != raw.nbytes:  # type: ignore[attr-defined]
            raise InputError(f"{self.file!r} ended while {self.name!r} was read; fetch it again.")
        return raw

    def values(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """Some elements, or all of a small one, float64; its file is opened for them."""
        out = np.empty(self.elements if count is None else count)
        with open(self.file, "rb", buffering=0) as file:
            self.read_into(file, start, out)
        return out
