"""Scoring (no torch here): parameters that bitsandbytes stored in 8 or 4 bits, as numbers again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.stored_tensor import StoredTensor, unlike

_STATE = ".quant_state.bitsandbytes__"
_OF_4_BITS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
_LARGEST_STATE = 65_536


@dataclass(frozen=True)
class EightBits(StoredTensor):
    """A matrix of LLM.int8: codes -127 to 127, and the largest absolute value of each row.

    Attributes
    ----------
    largest
        Float32, shape (rows,).
    """

    largest: StoredTensor

    def read_into(self, file: BinaryIO, start: int, out: np.ndarray) -> None:
        """Fill `out` with the numbers that the codes stand for, as `StoredTensor.read_into`."""
        codes = self.stored(file, start, len(out))
        rows = np.arange(start, start + len(out)) // self.shape[1]
        largest = self.largest.values(int(rows[0]), int(rows[-1] - rows[0]) + 1)
        out[:] = codes * largest[rows - rows[0]] / 127.0


@dataclass(frozen=True)
class FourBits(StoredTensor):
    """A tensor of NF4 or FP4: two codes a byte, and a scale for each block of numbers.

    Attributes
    ----------
    code
        What each of the 16 codes stands for.
    block
        So many numbers have one scale.
    scales
        Of the blocks: float32, or codes of a byte where they are quantised themselves.
    of_scales
        Of quantised scales: what the 256 codes stand for, the scales of their blocks, how long
        those are, and what is added.
    """

    code: tuple[float, ...]
    block: int
    scales: StoredTensor
    of_scales: tuple[tuple[float, ...], StoredTensor, int, float] | None

    def read_into(self, file: BinaryIO, start: int, out: np.ndarray) -> None:
        """Fill `out` with the numbers that the codes stand for, as `StoredTensor.read_into`."""
        first, count = start // 2, len(out)
        pairs = self.stored(file, first, (start + count + 1) // 2 - first)
        codes = np.empty(2 * len(pairs), dtype=np.uint8)
        codes[::2], codes[1::2] = pairs >> 4, pairs & 15
        codes = codes[start - 2 * first :][:count]
        blocks = np.arange(start, start + count) // self.block
        scales = self._scales(int(blocks[0]), int(blocks[-1] - blocks[0]) + 1)
        out[:] = np.array(self.code)[codes] * scales[blocks - blocks[0]]

    def _scales(self, start: int, count: int) -> np.ndarray:
        read = self.scales.values(start, count)
        if self.of_scales is None:
            return read
        code, largest, block, added = self.of_scales
        blocks = np.arange(start, start + count) // block
        of_blocks = largest.values(int(blocks[0]), int(blocks[-1] - blocks[0]) + 1)
        return np.array(code)[read.astype(np.uint8)] * of_blocks[blocks - blocks[0]] + added


def quantised_in(
    stored: Mapping[str, StoredTensor],
) -> dict[str, tuple[StoredTensor, set[str]]]:
    """Parameters that bitsandbytes quantised, as numbers, and the names of what belongs to each.

    Parameters
    ----------
    stored
        All tensors of the checkpoint, by name.

    Raises
    ------
    InputError
        If what belongs to one does not fit it.
    """
    found: dict[str, tuple[StoredTensor, set[str]]] = {}
    for other in stored:
        name, state, _ = other.partition(_STATE)
        if state and name in stored:
            parts = {part: f"{name}.{part}" for part in _OF_4_BITS if f"{name}.{part}" in stored}
            tensors = {part: stored[key] for part, key in parts.items()}
            made = _four_bits(stored[name], _state_of(stored[other]), tensors)
            found[name] = made, {other, *parts.values()}
        elif other.endswith("SCB"):
            beside = other.removesuffix("SCB")
            name, layout = f"{beside}weight", f"{beside}weight_format"
            if name in stored and stored[name].dtype == "I8":
                eight = _eight_bits(stored[name], stored[other], stored.get(layout))
                found[name] = eight, {other, layout} & stored.keys()
    return found


def _eight_bits(
    tensor: StoredTensor, largest: StoredTensor, layout: StoredTensor | None
) -> EightBits:
    if len(tensor.shape) != 2 or largest.dtype != "F32" or largest.elements != tensor.shape[0]:
        raise unlike(tensor)
    if layout is not None and (layout.elements != 1 or _bytes_of(layout) != bytes(1)):
        raise InputError(
            f"{tensor.file!r} stores {tensor.name!r} in a layout of a GPU, which bitsandbytes once "
            "wrote after a model had run; save the model again with a newer version."
        )
    return EightBits(**vars(tensor), largest=largest)


def _bytes_of(tensor: StoredTensor) -> bytes:
    if tensor.elements * tensor.itemsize > _LARGEST_STATE:
        raise unlike(tensor)
    with open(tensor.file, "rb", buffering=0) as file:
        return tensor.stored(file, 0, tensor.elements).tobytes()


def _state_of(tensor: StoredTensor) -> dict[str, Any]:
    try:
        state = json.loads(_bytes_of(tensor))
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict):
        raise unlike(tensor)
    return state


def _four_bits(
    tensor: StoredTensor, state: Mapping[str, Any], parts: Mapping[str, StoredTensor]
) -> FourBits:
    shape = state.get("shape")
    if not isinstance(shape, list):
        raise unlike(tensor)
    sizes = tuple(_natural(tensor, size) for size in shape)
    count, block = math.prod(sizes), _natural(tensor, state.get("blocksize"))
    blocks, scales = -(-count // block), parts.get("absmax")
    held = tensor.elements * tensor.itemsize  # the bytes may be stored as numbers of any kind
    if scales is None or scales.elements != blocks or (count + 1) // 2 != held:
        raise unlike(tensor)
    nested = None
    if "nested_absmax" in parts:
        of_block = _natural(tensor, state.get("nested_blocksize"))
        largest, added = parts["nested_absmax"], state.get("nested_offset")
        if not isinstance(added, float) or scales.dtype != "U8":
            raise unlike(tensor)
        if largest.dtype != "F32" or largest.elements != -(-blocks // of_block):
            raise unlike(tensor)
        nested = _table(tensor, parts.get("nested_quant_map"), 256), largest, of_block, added
    elif scales.dtype != "F32":
        raise unlike(tensor)
    code = _table(tensor, parts.get("quant_map"), 16)
    own = {**vars(tensor), "shape": sizes, "dtype": "U8"}
    return FourBits(**own, code=code, block=block, scales=scales, of_scales=nested)


def _natural(tensor: StoredTensor, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 48:
        return value
    raise unlike(tensor)


def _table(tensor: StoredTensor, table: StoredTensor | None, entries: int) -> tuple[float, ...]:
    if table is None or table.dtype != "F32" or table.elements != entries:
        raise unlike(tensor)
    return tuple(table.values().tolist())
