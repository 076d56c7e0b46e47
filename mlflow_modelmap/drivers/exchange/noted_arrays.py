"""Driver: an array of numbers out of the calls that a pickle asks for, none of which is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlflow_modelmap.tracking.runs.largest_sizes import NotRead
from mlflow_modelmap.words.shortened import shortened

REBUILD, SCALAR, BUFFER, ORDERED = "_reconstruct", "scalar", "_frombuffer", "OrderedDict"
_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


class Named:
    """A name that the pickle says; nothing can be done to it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """A call that the pickle asks for, and the state for what it returns; noted, not made."""

    __slots__ = ("arguments", "has_state", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None
        self.has_state = False


def plain(value: Any, kind: type) -> Any:
    """A value that has to be of a type, which is one of ours or a plain one."""
    if type(value) is not kind:
        raise NotRead("is no pickle of arrays: its codes do not fit each other; get it again")
    return value


def as_array(call: Call) -> np.ndarray:
    """The array of numbers that a noted call stands for; a view of its bytes.

    Raises
    ------
    NotRead
        If it is none, or the bytes are not as many as its type and shape say.
    """
    transpose: tuple[int, ...] | None = None
    if call.name == REBUILD and call.has_state:
        of_class = call.arguments[0] if call.arguments else None
        if type(of_class) is not Named or of_class.name != "ndarray":
            raise NotRead("holds something that is no plain array")
        _, shape, kind, fortran, raw = parts(call.state, 5)
        order = "F" if fortran is True or fortran == 1 else "C"
    elif call.name == SCALAR:
        kind, raw = parts(call.arguments, 2)
        shape, order = (), "C"
    elif call.name == BUFFER:
        raw, kind, shape, order, *axes = parts(call.arguments, 4, 5)
        if axes and axes[0] is not None:
            transpose = _whole(axes[0])
    else:
        raise NotRead("holds something that is no array of numbers")
    dtype, data, sizes = _dtype(kind), _bytes(raw), _whole(shape)
    if order == "K" and transpose is not None and sorted(transpose) == list(range(len(sizes))):
        order = "C"
    elif order not in ("C", "F") or transpose is not None:
        raise NotRead("holds an array in an order that is not known")
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise NotRead(
            f"holds an array of shape {shortened(str(sizes), 60)} and type {dtype} in "
            f"{len(data):,} bytes, which does not fit; get it again"
        )
    flat = np.frombuffer(data, dtype=dtype)
    shaped = flat.reshape(sizes[::-1]).T if order == "F" else flat.reshape(sizes)
    return shaped if transpose is None else shaped.transpose(transpose)


def parts(values: Any, least: int, most: int | None = None) -> tuple[Any, ...]:
    found: tuple[Any, ...] = plain(values, tuple)
    if not least <= len(found) <= (most or least):
        raise NotRead("holds an array that is not written as NumPy writes one")
    return found


def _whole(sizes: Any) -> tuple[int, ...]:
    """A shape, or an order of axes."""
    found: tuple[int, ...] = plain(sizes, tuple)
    if len(found) > 8 or any(type(n) is not int or not 0 <= n < 2**48 for n in found):
        raise NotRead("holds an array of a shape that none can have")
    return found


def _dtype(call: Any) -> np.dtype:
    """A type of plain numbers, made anew; what else the pickle says of it must be nothing."""
    if type(call) is not Call or call.name != "dtype" or not call.arguments:
        raise NotRead("holds an array that is not written as NumPy writes one")
    written = plain(call.arguments[0], str)
    if written not in _TYPES:
        raise NotRead(
            f"holds an array of type {shortened(repr(written), 60)}; give arrays of numbers"
        )
    if not call.has_state:
        return np.dtype(written)
    _, order, parent, names, fields, *rest = parts(call.state, 8)
    number = (parent, names, fields) == (None, None, None) and rest == [-1, -1, 0]
    if not number or type(order) is not str or order not in ("<", ">", "=", "|"):
        raise NotRead("holds an array of a type that is no plain number; give arrays of numbers")
    return np.dtype(order + written)


def _bytes(raw: Any) -> bytes | bytearray:
    if type(raw) is bytes or type(raw) is bytearray:
        return raw
    raise NotRead("holds an array that is no numbers; give arrays of numbers")
