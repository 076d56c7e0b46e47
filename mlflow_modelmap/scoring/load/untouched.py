"""Scoring: a model in memory as it was, to be had again after adapters were applied to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch

MOST_COPIED = 0.5
"""How much of a model may be held a second time, as a share of its own bytes."""
_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Untouched:
    """What a model is made of, by reference: nothing is copied until something is to be changed.

    Afterwards it consists of the same modules, parameters and configurations with the same
    attributes; of weights that are changed in place a copy is kept.

    Parameters
    ----------
    model
        As it was loaded.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._owners = [(owner, _copied(vars(owner))) for owner in _owners(model)]
        held = {id(tensor): tensor for _, tensor in _tensors(model)}
        self._parameters = {k: p for k, p in held.items() if isinstance(p, torch.nn.Parameter)}
        self._dtypes = {key: p.dtype for key, p in self._parameters.items()}
        self._data = {key: p.data for key, p in self._parameters.items()}
        self._own = {k: (_copied(vars(p)), p.requires_grad) for k, p in self._parameters.items()}
        self._bytes = sum(tensor.nbytes for tensor in held.values())
        self._smallest: dict[int, torch.dtype] = {}
        self._sums = _sums(model)

    def before_change(self, changed: Iterable[Any], replaced: Iterable[Any] = ()) -> bool:
        """Copy the weights that are to be changed in place, in 16 bits where that loses nothing.

        Parameters
        ----------
        changed, replaced
            Parameters that are about to be changed, and those that others stand for by now; only
            the model's own count.

        Returns
        -------
        bool
            False if more than `MOST_COPIED` of the model would be held twice; nothing is copied.
        """
        there = {id(parameter) for parameter in self._model.parameters()}
        there -= {id(parameter) for parameter in replaced}
        own = {id(parameter): parameter for parameter in changed}
        copied: dict[int, torch.dtype] = {}
        twice = 0
        for key, parameter in self._parameters.items():
            data = self._data[key]
            if key not in there or parameter.data.data_ptr() != data.data_ptr():
                twice += data.nbytes
            elif key in own:
                copied[key] = self._smallest_dtype(key)
                twice += data.numel() * copied[key].itemsize
        if twice > MOST_COPIED * self._bytes:
            return False
        for key, dtype in copied.items():
            self._data[key] = self._data[key].to(dtype, copy=True)
        return True

    def again(self) -> Any | None:
        """The model as it was; None if that is not so to the bit: it has to be loaded anew then."""
        for owner, attributes in self._owners:
            vars(owner).clear()
            vars(owner).update(_copied(attributes))
        for key, parameter in self._parameters.items():
            attributes, gradient = self._own[key]
            parameter.data = self._data[key] = self._data[key].to(self._dtypes[key])
            vars(parameter).clear()
            vars(parameter).update(_copied(attributes))
            parameter.requires_grad_(gradient)
        return self._model if _sums(self._model) == self._sums else None

    def _smallest_dtype(self, key: int) -> torch.dtype:
        if key not in self._smallest:
            self._smallest[key] = _lossless_dtype(self._data[key])
        return self._smallest[key]


def _owners(model: Any) -> list[Any]:
    """Everything whose attributes make the model: its modules and their configurations."""
    found = {id(module): module for module in model.modules()}
    left = list(found.values())
    while left:
        for value in vars(left.pop()).values():
            if _is_config(value) and id(value) not in found:
                found[id(value)] = value
                left.append(value)
    return list(found.values())


def _is_config(value: Any) -> bool:
    from transformers import GenerationConfig, PretrainedConfig

    return isinstance(value, PretrainedConfig | GenerationConfig)


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes whose containers are copies, and what bitsandbytes remembers of a layer too."""
    return {
        name: copy.copy(value)
        if isinstance(value, dict | list | set) or _remembered(value)
        else value
        for name, value in attributes.items()
    }


def _remembered(value: Any) -> bool:
    """Whether a value is a layer's `state` or `quant_state`."""
    kind = type(value)
    return kind.__module__.startswith("bitsandbytes") and not isinstance(
        value, torch.Tensor | torch.nn.Module
    )


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _lossless_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The smallest dtype in which a tensor's values are what they are."""
    if tensor.dtype == torch.float32:
        few = tensor.flatten()[:1024]
        for half in (torch.bfloat16, torch.float16):
            if all(torch.equal(part.to(half).float(), part) for part in (few, tensor)):
                return half
    return tensor.dtype


def _sums(model: Any) -> dict[str, tuple[torch.dtype, torch.Size, int]]:
    """Of each tensor its dtype, shape and the sum of its bits as whole numbers."""
    return {
        name: (tensor.dtype, tensor.shape, _sum(tensor.detach()))
        for name, tensor in _tensors(model)
    }


def _sum(tensor: torch.Tensor) -> int:
    flat = tensor.contiguous().flatten()
    words = flat.view(_WORDS[flat.dtype.itemsize])
    each = 8 // words.dtype.itemsize
    if len(words) % each == 0 and words.data_ptr() % 8 == 0 and words.storage_offset() % each == 0:
        words = words.view(torch.int64)
    return int(words.sum(dtype=torch.int64))
