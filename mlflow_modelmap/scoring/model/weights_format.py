"""Scoring (no torch here): the two formats that weights are read in, told by the names of files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_PICKLE = "adapter_model.bin"


@dataclass(frozen=True)
class WeightsFormat:
    """How a model's files of weights are called.

    Attributes
    ----------
    name
        As runs record it: ``safetensors`` or ``pickle``.
    single, index, shards
        The file that holds all weights, or the index of several and the pattern of their names.
    ending
        Of every file of weights.
    """

    name: str
    single: str
    index: str
    shards: str
    ending: str


SAFETENSORS = WeightsFormat(
    "safetensors", WEIGHTS, WEIGHTS_INDEX, "model-*-of-*.safetensors", ".safetensors"
)
PICKLE = WeightsFormat(
    "pickle",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "pytorch_model-*-of-*.bin",
    ".bin",
)


def weights_format(names: Collection[str]) -> WeightsFormat | None:
    """The format of a model with files of these names; where both are there, safetensors."""
    for form in (SAFETENSORS, PICKLE):
        if form.single in names or form.index in names:
            return form
    return None


def adapter_weights(names: Collection[str]) -> str | None:
    """The file of weights of an adapter with files of these names."""
    return next((name for name in (ADAPTER_WEIGHTS, ADAPTER_PICKLE) if name in names), None)
