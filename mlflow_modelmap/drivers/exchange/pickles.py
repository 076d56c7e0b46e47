"""Driver: arrays of numbers out of a pickle, which is never unpickled.

Unpickling runs whatever a file says, and the names that arrays are rebuilt with are enough to do
harm: NumPy trusts the state of a dtype, and state can be set on a class. So the codes of a pickle
are read as data here: calls are noted and not made, and arrays are built by `as_array` from the
type, shape and bytes that were noted. The few kinds of codes and names below are all there are.

A code takes at most about 100 bytes of memory, beside the bytes of arrays and texts, which are in
the file; so `MOST_CODES` bounds what is kept. Keys are kept as texts, since numbers can be chosen
so that a dictionary of them takes hours.
"""

from __future__ import annotations

import math
import os
import pickletools
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from mlflow_modelmap.drivers.exchange.in_file import LARGEST, path_of, reading
from mlflow_modelmap.drivers.exchange.noted_arrays import (
    BUFFER,
    ORDERED,
    REBUILD,
    SCALAR,
    Call,
    Named,
    as_array,
    parts,
    plain,
)
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.largest_sizes import NotRead
from mlflow_modelmap.words.shortened import shortened

MOST_CODES = 20_000_000
"""Codes of a pickle; an array takes about thirty, and a number in a list one."""
LONGEST_NAME = 1_000
"""Characters of a key."""
_LONGEST_LINE = 10_000

_NAMES = {
    "_codecs encode": "encode",
    "__builtin__ bytes": "bytes",
    "collections OrderedDict": ORDERED,
    "numpy dtype": "dtype",
    "numpy ndarray": "ndarray",
    "numpy.core.multiarray _reconstruct": REBUILD,
    "numpy.core.multiarray scalar": SCALAR,
    "numpy.core.numeric _frombuffer": BUFFER,
    "numpy._core.multiarray _reconstruct": REBUILD,
    "numpy._core.multiarray scalar": SCALAR,
    "numpy._core.numeric _frombuffer": BUFFER,
}
"""What a pickle may name, and what it is called here."""
_VALUES = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_TEXTS = {"SHORT_BINUNICODE": 1, "BINUNICODE": 4, "BINUNICODE8": 8}
"""Codes of texts, and bytes of the length in front of each."""
_LATIN = 0xC3
"""The highest first byte in UTF-8 of the characters that stand for bytes."""
_CODE_OF: dict[str, Any] = {code.code: code for code in pickletools.opcodes}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Bounded:
    """A file of which no more is asked for than it has, as `pickletools` reads one."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise NotRead("is a pickle that is cut short; get it again")
        self.left -= count
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(_LONGEST_LINE)
        self.left -= len(line)
        return line


def _codes(file: _Bounded) -> Iterator[tuple[str, Any]]:
    """Name and value of each code; as `pickletools.genops`, but for texts."""
    while True:
        byte = file.read(1)
        code = _CODE_OF.get(byte.decode("latin1"))
        if code is None:
            raise ValueError(f"it has the code {byte!r}")
        if code.name in _TEXTS:
            yield code.name, _text(file, _TEXTS[code.name])
        else:
            yield code.name, None if code.arg is None else code.arg.reader(file)
        if code.name == "STOP":
            return


def _text(file: _Bounded, width: int) -> str:
    """A text; a long one stands for bytes, and any other would take four times its length."""
    raw = file.read(int.from_bytes(file.read(width), "little"))
    if len(raw) > 4 * LONGEST_NAME and np.frombuffer(raw, np.uint8).max() > _LATIN:
        raise NotRead("has a long text that is neither a name nor the bytes of an array")
    return raw.decode("utf-8")


class _Codes:
    """What the codes of a pickle make, on a stack of plain values, `Named` and `Call`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.encoded_left = size  # bytes that texts may become: no more than the file has
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.entries = 0

    def read(self, file: BinaryIO) -> Any:
        """What is left at the end."""
        for count, (code, value) in enumerate(_codes(_Bounded(file, self.size))):
            if count >= MOST_CODES:
                raise NotRead(f"has more than {MOST_CODES:,} codes; give vectors as arrays")
            if code != "STOP":
                self._do(code, value)
        return self.stack.pop()

    def _do(self, code: str, value: Any) -> None:
        stack = self.stack
        if code in _VALUES or code in _TEXTS:
            stack.append(value)
        elif code in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            self._remember(len(self.memo) if code == "MEMOIZE" else value)
        elif code in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[value])
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _TUPLES:
            stack.append(tuple(self._last(_TUPLES[code])))
        elif code == "MARK":
            self.marks.append(len(stack))
        elif code == "TUPLE":
            stack.append(tuple(self._marked()))
        elif code in ("EMPTY_LIST", "LIST"):
            stack.append([] if code == "EMPTY_LIST" else self._marked())
        elif code in ("EMPTY_DICT", "DICT"):
            pairs = [] if code == "EMPTY_DICT" else self._marked()
            stack.append({})
            self._set(pairs)
        elif code in ("APPEND", "APPENDS"):
            values = self._last(1) if code == "APPEND" else self._marked()
            plain(stack[-1], list).extend(values)
        elif code in ("SETITEM", "SETITEMS"):
            self._set(self._last(2) if code == "SETITEM" else self._marked())
        elif code == "GLOBAL":
            stack.append(_named(*value.split(" ", 1)))
        elif code == "STACK_GLOBAL":
            module, name = self._last(2)
            stack.append(_named(plain(module, str), plain(name, str)))
        elif code == "REDUCE":
            named, arguments = self._last(2)
            stack.append(self._called(plain(named, Named).name, plain(arguments, tuple)))
        elif code == "BUILD":
            (state,) = self._last(1)
            _build(stack[-1], state)
        elif code not in ("PROTO", "FRAME"):
            raise InputError(
                f"The pickle makes something by {code}, which is no part of an array, so it was "
                "not read; get the file from its authors again."
            )

    def _called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A call, noted; dictionaries and bytes are made at once."""
        if name in (ORDERED, "bytes") and not arguments:
            return {} if name == ORDERED else b""
        if name != "encode":
            return Call(name, arguments)
        text, encoding = parts(arguments, 2)  # as protocol 2 writes bytes
        if type(encoding) is not str or encoding != "latin1":
            raise NotRead("holds bytes that are not written as Python writes them; get it again")
        self.encoded_left -= len(plain(text, str))
        if self.encoded_left < 0:
            raise NotRead("holds the same bytes again and again; write each vector once")
        return text.encode("latin1")

    def _remember(self, at: int) -> None:
        if not 0 <= at <= len(self.memo) + 1:  # Python counts; Python 2 did from 1
            raise NotRead("is a pickle whose numbers are out of order; get it again")
        self.memo[at] = self.stack[-1]

    def _last(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise NotRead("is a damaged pickle; get it again")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _marked(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _set(self, pairs: list[Any]) -> None:
        held = plain(self.stack[-1], dict)
        self.entries += len(pairs) // 2
        if self.entries > LARGEST.rows:
            raise NotRead(f"holds more than {LARGEST.rows:,} vectors; split it")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            text, said = _key(key)
            if text in held:
                raise NotRead(f"has the key {shortened(repr(said), 60)} twice; get it again")
            held[text] = (said, value)


def _named(module: str, name: str) -> Named:
    known = _NAMES.get(f"{module} {name}")
    if known is None:
        raise InputError(
            f"The pickle asks for {shortened(f'{module}.{name}', 80)}, which is no part of an "
            "array, so it was not read; get the file from its authors again, or write the vectors "
            "as arrays of numbers."
        )
    return Named(known)


def _build(made: Any, state: Any) -> None:
    if type(made) is not Call or made.has_state or made.name not in ("dtype", REBUILD):
        raise InputError(
            "The pickle sets the state of something that is no array, so it was not read; get the "
            "file from its authors again."
        )
    made.state, made.has_state = state, True


def _key(key: Any) -> tuple[str, str | float]:
    """A key of a dictionary, which has to be a name or a number: as a text, and as it is."""
    if type(key) is Call and key.name == SCALAR:
        key = as_array(key).item()
    if type(key) is str and len(key) <= LONGEST_NAME:
        return key, key
    if type(key) is float and key.is_integer():
        key = int(key)
    if (type(key) is int and abs(key) < 2**63) or (type(key) is float and math.isfinite(key)):
        return repr(key), key
    raise NotRead(
        f"has a key that is neither a name of at most {LONGEST_NAME:,} characters nor a number"
    )


class _Arrays:
    """Dictionaries by name, and in them by name or number, of arrays, flat lists and None."""

    def __init__(self) -> None:
        self.made: dict[int, np.ndarray] = {}
        self.count = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        if type(value) is dict and depth < 2:
            self.count += len(value)
            if self.count > LARGEST.rows:
                raise NotRead(f"holds more than {LARGEST.rows:,} vectors; split it")
            numbers = [said for said, _ in value.values() if type(said) is not str]
            if numbers and depth == 0:
                raise NotRead(f"has the number {numbers[0]} where a name is due; give names")
            return {key: self.of(inner, depth + 1) for key, (_, inner) in value.items()}
        if value is None and depth:
            return None
        if type(value) is not Call and depth == 0:
            raise NotRead("holds neither an array nor a dictionary of names and arrays")
        if id(value) not in self.made:  # what is there many times is made once
            self.made[id(value)] = self._array(value)
        return self.made[id(value)]

    def _array(self, value: Any) -> np.ndarray:
        if type(value) is Call:
            return as_array(value)
        flat = value if type(value) in (list, tuple) else [value]
        numbers = [as_array(v).item() if type(v) is Call else v for v in flat]
        if not all(type(number) in (int, float) for number in numbers):
            raise NotRead(
                "holds something else than arrays and flat lists of numbers, by name or by name "
                "and number"
            )
        array = np.array(numbers, dtype=np.float64)
        return array if flat is value else array.reshape(())


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle of arrays holds: an array, or a dictionary of arrays, or of such dictionaries.

    Nothing of it is run. Arrays are of floats, whole numbers or truth values; lists of numbers
    come as arrays; None stays. Keys come as texts, the number 1000 as ``1000``.

    Raises
    ------
    InputError
        If it is none, is too large, or asks for anything else.
    """
    found = path_of(path)
    with reading(found, "pickle of arrays"), found.open("rb") as file:
        return _Arrays().of(_Codes(found.stat().st_size).read(file))
