"""Scoring (no torch here): parameters that GPTQ or AWQ packed, as numbers again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.scaled_tensor import WIDEST
from mlflow_modelmap.scoring.weights.stored_tensor import FLOATS, StoredTensor, unlike
from mlflow_modelmap.scoring.weights.words import WORD, unpacked
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

_WEIGHT, _ZEROS, _SCALES, _GROUPS = ".qweight", ".qzeros", ".scales", ".g_idx"
_GPTQ_BITS = (2, 3, 4, 8)
_FORMATS = ("gptq", "gptq_v2", "gemm")
_ONES = {2: 0x55555555, 4: 0x11111111, 8: 0x01010101}
"""A one in each code of a word."""
_PLACES = 4 * np.array([0, 4, 1, 5, 2, 6, 3, 7], dtype=np.uint32)
"""At which bit of a word AWQ puts each of eight codes."""
TURNED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
"""Architectures whose matrices are stored turned, which these methods turn back."""


@dataclass(frozen=True)
class PackedTensor(StoredTensor):
    """A matrix of integers of a few bits, each less its group's zero and times its group's scale.

    Attributes
    ----------
    codes, zeros
        Packed into words of 32 bits: (inputs, outputs) and (groups, outputs) of codes.
    scales
        (groups, outputs).
    bits
        Of a code.
    group
        So many inputs have one scale, if `groups` says nothing.
    groups
        The group of each input, or None.
    """

    codes: StoredTensor
    zeros: StoredTensor
    scales: StoredTensor
    bits: int
    group: int
    groups: StoredTensor | None

    def read_into(self, file: BinaryIO, start: int, out: np.ndarray) -> None:
        """Fill `out` with the numbers that the codes stand for, as `StoredTensor.read_into`."""
        inputs = self.shape[1]
        first, last = start // inputs, (start + len(out) - 1) // inputs
        count = last - first + 1
        scales = self.scales.numbers(self.scales.columns(first, count)).astype(float)
        if self.groups is None:
            group = np.arange(inputs) // self.group
        else:
            group = self.groups.values().astype(np.int64)
        codes, zeros = self._codes(first, count), self._zeros(first, count)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told later
            numbers = (codes.astype(float) - zeros.astype(float)[group]) * scales[group]
        out[:] = numbers.T.ravel()[start - first * inputs :][: len(out)]

    def _codes(self, first: int, count: int) -> np.ndarray:
        """Codes of some outputs, shape (inputs, count)."""
        raise NotImplementedError

    def _zeros(self, first: int, count: int) -> np.ndarray:
        """Zeros of some outputs, shape (groups, count)."""
        raise NotImplementedError

    def _along_columns(self, tensor: StoredTensor, first: int, count: int) -> np.ndarray:
        """Words that hold some outputs' codes, and the first of those codes in them."""
        start = first * self.bits // WORD
        stop = -(-(first + count) * self.bits // WORD)
        return tensor.columns(start, stop - start).view("<u4")


@dataclass(frozen=True)
class Gptq(PackedTensor):
    """As GPTQ packs: codes along the inputs, zeros along the outputs.

    Attributes
    ----------
    less_one
        Whether a one was taken from every zero, as the first version of the format has it. The
        one is added to whole words, as gptqmodel does, so that it may be carried over.
    """

    less_one: bool

    def _codes(self, first: int, count: int) -> np.ndarray:
        return unpacked(self.codes.columns(first, count).view("<u4"), self.bits, self.shape[1])

    def _zeros(self, first: int, count: int) -> np.ndarray:
        # Three bits cross words, and 32 of them fill three.
        aligned = first // WORD * WORD
        words = self._along_columns(self.zeros, aligned, first - aligned + count)
        if self.less_one and self.bits in _ONES:
            words = words + np.uint32(_ONES[self.bits])
        zeros = unpacked(words.T, self.bits, first - aligned + count)[first - aligned :].T
        if self.less_one and self.bits not in _ONES:
            zeros = zeros + 1 & (1 << self.bits) - 1
        return zeros


@dataclass(frozen=True)
class Awq(PackedTensor):
    """As AWQ packs for its GEMM kernels: codes and zeros along the outputs, in its own order."""

    def _codes(self, first: int, count: int) -> np.ndarray:
        return self._in_order(self.codes, first, count)

    def _zeros(self, first: int, count: int) -> np.ndarray:
        return self._in_order(self.zeros, first, count)

    def _in_order(self, tensor: StoredTensor, first: int, count: int) -> np.ndarray:
        words = self._along_columns(tensor, first, count)
        codes = words[:, :, None] >> _PLACES & 15
        return codes.reshape(len(words), -1)[:, first % 8 :][:, :count]


def quantised_in(
    stored: Mapping[str, StoredTensor], said: Mapping[str, object], model_type: str
) -> dict[str, tuple[StoredTensor, set[str]]]:
    """Parameters that GPTQ or AWQ packed, as numbers, and the names of what belongs to each.

    Parameters
    ----------
    stored
        All tensors of the checkpoint, by name.
    said
        What its configuration says of how it was quantised; empty for nothing.
    model_type
        Its architecture; empty if unknown.

    Raises
    ------
    InputError
        If what belongs to one does not fit it, or it is turned.
    """
    found: dict[str, tuple[StoredTensor, set[str]]] = {}
    format = _format(said)
    for key, codes in stored.items():
        layer = key.removesuffix(_WEIGHT)
        zeros, scales = stored.get(f"{layer}{_ZEROS}"), stored.get(f"{layer}{_SCALES}")
        if layer == key or codes.dtype != "I32" or zeros is None or scales is None:
            continue
        if format not in _FORMATS:
            raise InputError(
                f"{codes.file!r} stores {key!r} in the format {shortened(repr(format))}, which is "
                f"not read; weight distances read {listed(_FORMATS, quoted=False)} of GPTQ and AWQ."
            )
        if model_type in TURNED:
            raise InputError(
                f"{codes.file!r} stores {key!r} packed, and matrices of {model_type} lie turned "
                "where they are not packed; weight distances of such a model need it unpacked."
            )
        groups = stored.get(f"{layer}{_GROUPS}")
        name = f"{layer}.weight"
        if name in stored:
            raise unlike(codes)
        belong = {t.name for t in (codes, zeros, scales, groups) if t is not None}
        found[name] = _made(name, codes, zeros, scales, groups, said), belong
    return found


def _format(said: Mapping[str, object]) -> str:
    """How the words are laid out: by GPTQ if nothing is said, as it was in the beginning."""
    method = str(said.get("quant_method") or said.get("method") or "gptq").lower()
    if method not in ("gptq", "awq"):
        return method
    named = said.get("version") if method == "awq" else None
    named = said.get("checkpoint_format") or said.get("format") or named
    return str(named or {"gptq": "gptq", "awq": "gemm"}[method]).lower()


def _made(
    name: str,
    codes: StoredTensor,
    zeros: StoredTensor,
    scales: StoredTensor,
    groups: StoredTensor | None,
    said: Mapping[str, object],
) -> PackedTensor:
    if any(len(t.shape) != 2 or not t.elements for t in (codes, zeros, scales)):
        raise unlike(codes)
    count, outputs = scales.shape
    if zeros.dtype != "I32" or scales.dtype not in FLOATS or zeros.shape[0] != count:
        raise unlike(codes)
    by_awq = codes.shape[1] != outputs
    fit = []
    for bits in _GPTQ_BITS:
        if -(-outputs * bits // WORD) != zeros.shape[1]:
            continue
        if by_awq:
            if bits == 4 and groups is None and codes.shape[1] * 8 == outputs:
                fit.append((bits, codes.shape[0]))
        else:
            inputs = codes.shape[0] * WORD // bits if groups is None else groups.elements
            if -(-inputs * bits // WORD) == codes.shape[0]:
                fit.append((bits, inputs))
    if len(fit) > 1:  # only few outputs leave a choice; single layers may have others than said
        fit = [(bits, inputs) for bits, inputs in fit if bits in _bits(said)]
    if len(fit) != 1 or fit[0][1] > WIDEST:
        raise unlike(codes)
    bits, inputs = fit[0]
    group = _group(codes, groups, inputs, count, said)
    own = name, (outputs, inputs), codes.dtype, codes.file, codes.offset
    if by_awq:
        return Awq(*own, codes, zeros, scales, bits, group, groups)
    return Gptq(*own, codes, zeros, scales, bits, group, groups, _format(said) != "gptq_v2")


def _bits(said: Mapping[str, object]) -> tuple[int, ...]:
    """Of a code: what is said, or all that there may be."""
    for name in ("bits", "w_bit"):
        bits = said.get(name)
        if isinstance(bits, int) and bits in _GPTQ_BITS:
            return (bits,)
    return _GPTQ_BITS


def _group(
    codes: StoredTensor,
    groups: StoredTensor | None,
    inputs: int,
    count: int,
    said: Mapping[str, object],
) -> int:
    """How many inputs have one scale."""
    if groups is not None:
        of_inputs = groups.values() if groups.dtype in ("I32", "I64") else np.array([-1])
        if of_inputs.min() < 0 or of_inputs.max() >= count:
            raise unlike(codes)
        return 0
    size = said.get("group_size", said.get("q_group_size"))
    if isinstance(size, int) and size > 0 and -(-inputs // size) == count:
        return min(size, inputs)
    if inputs % count:
        raise unlike(codes)
    return inputs // count
