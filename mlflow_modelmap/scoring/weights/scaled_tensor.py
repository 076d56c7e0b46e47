"""Scoring (no torch here): parameters stored as codes of a byte or less and scales, as numbers.

FP8 with a scale a tensor, a row or a block (transformers' fine-grained FP8, FBGEMM, ModelOpt),
and what compressed-tensors writes: FP8, INT8, NVFP4, MXFP4, and integers packed into words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.stored_tensor import (
    BYTE_FLOATS,
    CODES,
    FLOATS,
    StoredTensor,
    unlike,
)
from mlflow_modelmap.scoring.weights.words import WORD, unpacked

FP4 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
"""What three bits of E2M1 stand for; the fourth is the sign."""
_FP4 = np.concatenate([FP4, -FP4])
_FP4_BLOCKS = (16, 32)
WIDEST = 1 << 20
"""Columns of a matrix, rows of which are read whole; a wider one is none of a language model's."""
_LEAST = 1e-30
_PACKED_BITS = (2, 4, 8)
_PACKED = "_packed"
_PARTS = (
    "_scale",
    "_scale_inv",
    "_scale_2",
    "_global_scale",
    "_zero_point",
    "_shape",
    "_g_idx",
    "_activation_scale",
    "_input_scale",
)
_OF_INPUTS = (
    "input_scale",
    "input_scale_ub",
    "input_zero_point",
    "input_global_scale",
    "activation_scale",
)


@dataclass(frozen=True)
class ScaledTensor(StoredTensor):
    """Codes, times a scale that a block of numbers shares.

    Attributes
    ----------
    codes
        As they are stored: of the parameter's shape, or fewer and wider.
    bits
        Of a code that is packed with others; 0 where each has a byte of its own.
    scales
        One for each block: (..., rows, columns) of them, less where it is one a tensor or row.
    grid, block
        Rows and columns of the scales, and of the numbers that share one.
    zeros
        What is taken from the codes of a block, stored as scales are, or packed along the rows;
        None for nothing.
    groups
        Which column of the scales each column of the parameter has, where that follows no order.
    factor
        What all numbers are multiplied by.
    """

    codes: StoredTensor
    bits: int
    scales: StoredTensor
    grid: tuple[int, int]
    block: tuple[int, int]
    zeros: StoredTensor | None = None
    groups: StoredTensor | None = None
    factor: float = 1.0

    def read_into(self, file: BinaryIO, start: int, out: np.ndarray) -> None:
        """Fill `out` with the numbers that the codes stand for, as `StoredTensor.read_into`."""
        width = self.shape[-1]
        first = start // width
        rows = np.arange(first, (start + len(out) - 1) // width + 1)
        numbers = self._codes(file, rows)
        # Where the scales of a row lie: experts have a grid each.
        height = self.shape[-2]
        within = rows // height * self.grid[0] + rows % height // self.block[0]
        columns = self._columns()
        if self.zeros is not None:
            numbers = numbers - self._zeros(within)[:, columns]
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told later
            numbers = numbers * (self._grid_rows(self.scales, within) * self.factor)[:, columns]
        out[:] = numbers.ravel()[start - first * width :][: len(out)]

    def _columns(self) -> np.ndarray:
        if self.groups is not None:
            return self.groups.values().astype(np.int64)
        return np.arange(self.shape[-1]) // self.block[1]

    def _codes(self, file: BinaryIO, rows: np.ndarray) -> np.ndarray:
        width = self.codes.shape[-1]
        raw = self.codes.stored(file, int(rows[0]) * width, len(rows) * width)
        raw = raw.reshape(len(rows), width)
        if self.codes.dtype == "U8":
            pairs = np.empty((len(rows), 2 * width))
            pairs[:, ::2], pairs[:, 1::2] = _FP4[raw & 15], _FP4[raw >> 4]
            return pairs
        if self.bits:
            codes = unpacked(raw.view("<u4").T, self.bits, self.shape[-1]).T
            return codes.astype(float) - (1 << self.bits - 1)
        return np.asarray(self.codes.numbers(raw), dtype=float)

    def _grid_rows(self, tensor: StoredTensor, rows: np.ndarray) -> np.ndarray:
        """Rows of the grid of scales or zero points, float64."""
        if tensor.elements == 1:
            return np.full((len(rows), self.grid[1]), tensor.values()[0])
        width, first = self.grid[1], int(rows[0])
        count = int(rows[-1]) - first + 1
        read = tensor.values(first * width, count * width).reshape(count, width)
        return read[rows - first]

    def _zeros(self, rows: np.ndarray) -> np.ndarray:
        zeros = self.zeros
        assert zeros is not None
        if zeros.dtype != "I32":
            return self._grid_rows(zeros, rows)
        width, per_word = self.grid[1], WORD // self.bits
        first = int(rows[0]) // per_word
        count = int(rows[-1]) // per_word - first + 1
        with open(zeros.file, "rb", buffering=0) as file:
            words = zeros.stored(file, first * width, count * width).reshape(count, width)
        codes = unpacked(words.view("<u4"), self.bits, count * per_word)
        return codes[rows - first * per_word].astype(float) - (1 << self.bits - 1)


def quantised_in(
    stored: Mapping[str, StoredTensor],
    blocks: tuple[int, int] | None = None,
    bits: Collection[int] = (),
) -> dict[str, tuple[StoredTensor, set[str]]]:
    """Parameters that are codes with scales beside them, and the names of what belongs to each.

    Parameters
    ----------
    stored
        All tensors of the checkpoint, by name.
    blocks
        Rows and columns that share a scale, if its configuration says so.
    bits
        Of codes, if its configuration says so.

    Raises
    ------
    InputError
        If what belongs to one does not fit it.
    """
    found: dict[str, tuple[StoredTensor, set[str]]] = {}
    for key, codes in stored.items():
        packed = key.endswith(_PACKED)
        name = key.removesuffix(_PACKED)
        parts = {
            part: stored[beside]
            for part in _PARTS
            for beside in (f"{name}_weight{part}", f"{name}{part}")
            if beside in stored
        }
        if "_scale" not in parts and "_scale_inv" not in parts:
            continue
        if codes.dtype not in _types(packed, parts):
            continue
        if {"_scale", "_scale_inv"} <= parts.keys() or (packed and name in stored):
            raise unlike(codes)
        around = name.rpartition(".")[0]
        of_inputs = {f"{around}.{part}" for part in _OF_INPUTS} & stored.keys()
        belong = {tensor.name for tensor in parts.values()} | of_inputs
        made = _made(name, codes, parts, blocks, bits)
        found[name] = made, belong | ({key} if packed else set())
    return found


def _types(packed: bool, parts: Mapping[str, StoredTensor]) -> tuple[str, ...]:
    """Which types codes may have that are packed, or not."""
    if packed:
        return ("I32", "U8") if "_shape" in parts else ("U8",)
    return ("F8_E4M3", "F8_E5M2", "I8", *(("U8",) if "_scale_2" in parts else ()))


def _made(
    name: str,
    codes: StoredTensor,
    parts: Mapping[str, StoredTensor],
    blocks: tuple[int, int] | None,
    bits_said: Collection[int],
) -> ScaledTensor:
    scales = parts.get("_scale_inv", parts.get("_scale"))
    if scales is None or len(codes.shape) < 2 or not codes.elements:
        raise unlike(codes)
    shape, bits = codes.shape, 0
    if codes.dtype == "U8":
        shape = (*shape[:-1], 2 * shape[-1])
    elif codes.dtype == "I32":
        shape, bits = _packed(codes, parts["_shape"], bits_said)
    if scales.dtype == "U8":
        scales = replace(scales, dtype="F8_E8M0")
    if scales.dtype not in FLOATS | BYTE_FLOATS or shape[-1] > WIDEST:
        raise unlike(codes)
    grid, block = _grid(codes, shape, scales, blocks)
    if codes.dtype == "U8" and block[1] not in _FP4_BLOCKS:  # as of six bits it would be
        raise unlike(codes)
    return ScaledTensor(
        name,
        shape,
        codes.dtype,
        codes.file,
        codes.offset,
        codes=codes,
        bits=bits,
        scales=scales,
        grid=grid,
        block=block,
        zeros=_zeros(codes, parts.get("_zero_point"), scales, bits, grid),
        groups=_groups(codes, parts.get("_g_idx"), shape[-1], grid[1]),
        factor=_factor(codes, parts),
    )


def _zeros(
    codes: StoredTensor,
    zeros: StoredTensor | None,
    scales: StoredTensor,
    bits: int,
    grid: tuple[int, int],
) -> StoredTensor | None:
    if zeros is None:
        return None
    packed = bits > 0 and zeros.dtype == "I32"
    if packed and len(codes.shape) > 2:
        raise InputError(
            f"{codes.file!r} packs the zero points {zeros.name!r} of several matrices, which is "
            "not read; weight distances need that model unpacked."
        )
    count = -(-grid[0] * bits // WORD) * grid[1] if packed else scales.elements
    known = zeros.dtype in FLOATS | CODES and (packed or zeros.dtype != "I32")
    if zeros.elements != count or not known:
        raise unlike(codes)
    return zeros


def _packed(
    codes: StoredTensor, stated: StoredTensor, bits_said: Collection[int]
) -> tuple[tuple[int, ...], int]:
    """The shape of a parameter whose integers are packed along its columns, and their bits."""
    if not 2 <= stated.elements <= 4 or stated.dtype not in ("I32", "I64"):
        raise unlike(codes)
    shape = tuple(int(size) for size in stated.values())
    bits = [
        b
        for b in _PACKED_BITS
        if -(-shape[-1] * b // WORD) == codes.shape[-1] and (not bits_said or b in bits_said)
    ]
    if shape[:-1] != codes.shape[:-1] or len(bits) != 1:
        raise unlike(codes)
    return shape, bits[0]


def _grid(
    codes: StoredTensor,
    shape: tuple[int, ...],
    scales: StoredTensor,
    blocks: tuple[int, int] | None,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of the scales, and of the numbers that share one."""
    if scales.elements == 1:
        grid = (1, 1)
    elif len(scales.shape) == len(shape) and scales.shape[:-2] == shape[:-2]:
        grid = (scales.shape[-2], scales.shape[-1])
    elif scales.shape == shape[:-1]:
        grid = (shape[-2], 1)
    elif scales.shape == shape[:-2]:
        grid = (1, 1)
    else:
        raise unlike(codes)
    block = []
    for size, count, said in zip(shape[-2:], grid, blocks or (0, 0), strict=True):
        if said and -(-size // said) == count:
            block.append(min(said, size))
        elif count and size % count == 0:
            block.append(size // count)
        else:
            raise unlike(codes)
    # Blocks that go into both sides of a matrix evenly may still not be those that were meant.
    of_both = 1 < grid[0] < shape[-2] and 1 < grid[1] < shape[-1]
    if of_both and blocks is None and any(size & size - 1 for size in block):
        raise unlike(codes)
    return grid, (block[0], block[1])


def _groups(
    codes: StoredTensor, groups: StoredTensor | None, width: int, count: int
) -> StoredTensor | None:
    if groups is None:
        return None
    if groups.elements != width or groups.dtype not in ("I32", "I64"):
        raise unlike(codes)
    of_columns = groups.values()
    if (of_columns == -1).all():  # as compressed-tensors has it before it sorts columns
        return None
    if of_columns.min() < 0 or of_columns.max() >= count:
        raise unlike(codes)
    return groups


def _factor(codes: StoredTensor, parts: Mapping[str, StoredTensor]) -> float:
    """What every number is multiplied by: ModelOpt's second scale, or one over NVFP4's."""
    factor = 1.0
    for part, power in (("_scale_2", 1), ("_global_scale", -1)):
        if part in parts:
            if parts[part].elements != 1 or parts[part].dtype not in FLOATS:
                raise unlike(codes)
            value = float(parts[part].values()[0])
            if not (_LEAST < value < 1 / _LEAST):
                raise unlike(codes)
            factor *= value**power
    return factor
