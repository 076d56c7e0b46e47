"""Scoring (no torch here): one tensor of a safetensors file, read in pieces of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

import numpy as np

from mlflow_modelmap.errors import InputError

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
BYTE_FLOATS = {"F8_E4M3": "u1", "F8_E5M2": "u1", "F8_E8M0": "u1"}
CODES = {"I8": "i1", "U8": "u1", "I32": "<i4", "I64": "<i8"} | BYTE_FLOATS
_SIZES = {"I16": 2, "U16": 2, "U32": 4, "U64": 8}  # others are bytes


@cache
def byte_floats(dtype: str) -> np.ndarray:
    """What the 256 bytes of an 8-bit floating-point format stand for, float64, shape (256,).

    Parameters
    ----------
    dtype
        ``F8_E4M3`` (finite, of Micikevicius et al. 2022), ``F8_E5M2`` (as IEEE 754 would have it)
        or ``F8_E8M0`` (powers of two, the scales of OCP's microscaling formats).
    """
    byte = np.arange(256)
    if dtype == "F8_E8M0":
        return np.where(byte == 255, np.nan, np.ldexp(1.0, byte - 127))
    mantissa_bits, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)
    exponent, mantissa = byte >> mantissa_bits & 2 * bias + 1, byte & (1 << mantissa_bits) - 1
    fraction = mantissa + ((exponent > 0) << mantissa_bits)  # a hidden one, but in subnormals
    value = np.ldexp(fraction.astype(float), np.maximum(exponent, 1) - bias - mantissa_bits)
    if dtype == "F8_E4M3":
        value[byte & 127 == 127] = np.nan
    else:
        value[exponent == 31] = np.where(mantissa[exponent == 31] == 0, np.inf, np.nan)
    return np.where(byte < 128, value, -value)


@dataclass(frozen=True)
class StoredTensor:
    """One tensor on disk.

    Attributes
    ----------
    name, shape
        As stored; the shape of a quantised one is that of the numbers that it stands for.
    dtype
        safetensors' name: F64, F32, F16 or BF16; for codes one of `CODES`.
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
        out[:] = self.numbers(self.stored(file, start, len(out)))

    def numbers(self, raw: np.ndarray) -> np.ndarray:
        """What stored numbers are, in a type of numpy's."""
        if self.dtype == "BF16":
            wide = raw.astype("<u4")
            wide <<= 16
            return wide.view("<f4")
        if self.dtype in BYTE_FLOATS:
            return byte_floats(self.dtype)[raw]
        return raw

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

    def columns(self, first: int, count: int) -> np.ndarray:
        """Some columns of a matrix as it is stored, shape (rows, count); only they are read."""
        rows, width = self.shape
        raw = np.empty((rows, count), dtype=(FLOATS | CODES)[self.dtype])
        with open(self.file, "rb", buffering=0) as file:
            for row in range(rows):
                raw[row] = self.stored(file, row * width + first, count)
        return raw

    def values(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """Some elements, or all of a small one, float64; its file is opened for them."""
        out = np.empty(self.elements if count is None else count)
        with open(self.file, "rb", buffering=0) as file:
            self.read_into(file, start, out)
        return out


def unlike(tensor: StoredTensor) -> InputError:
    """The error for a quantised tensor and others that do not belong to it as they should."""
    return InputError(
        f"What {tensor.file!r} says of the quantised {tensor.name!r} does not fit it; fetch the "
        "checkpoint again."
    )
