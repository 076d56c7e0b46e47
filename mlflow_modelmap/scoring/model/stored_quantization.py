"""Scoring (no torch here): checkpoints stored quantised, by what their config.json says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_DEFAULT_THRESHOLD = 6.0  # of LLM.int8, where a configuration does not say
_BITS = ("bits", "nbits", "num_bits", "w_bit", "weight_bits")
_INTEGER = ("gptq", "awq", "hqq", "auto-round", "aqlm", "vptq", "spqr", "higgs", "sinq", "metal")
"""Methods whose weights are integers (or codes) of so many bits."""
_NAMES = {"fbgemm_fp8": "fp8", "eetq": "eetq-int8"}


@dataclass(frozen=True)
class StoredQuantization:
    """How a checkpoint's weights are stored.

    Attributes
    ----------
    precision
        What the weights are, as runs say it: ``nf4``, ``int8``, ``gptq-int4``, ``fp8``, ...
    method
        transformers' name of the method, such as ``bitsandbytes`` or ``compressed-tensors``.
    double
        Whether bitsandbytes' 4-bit block scales are quantised as well.
    int8_threshold
        Outlier threshold of LLM.int8; 0 for everything else.
    """

    precision: str
    method: str
    double: bool = False
    int8_threshold: float = 0.0


def stored_quantization(config: Mapping[str, Any]) -> StoredQuantization | None:
    """What a model's configuration says of quantised weights; None where they are plain numbers."""
    said = config.get("quantization_config")
    if not isinstance(said, Mapping) or not said:
        return None
    if said.get("load_in_8bit") is True:
        threshold = said.get("llm_int8_threshold", _DEFAULT_THRESHOLD)
        known = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
        return StoredQuantization(
            "int8",
            "bitsandbytes",
            int8_threshold=float(threshold) if known else _DEFAULT_THRESHOLD,
        )
    if said.get("load_in_4bit") is True:
        kind = str(said.get("bnb_4bit_quant_type", "fp4"))
        return StoredQuantization(
            kind, "bitsandbytes", double=said.get("bnb_4bit_use_double_quant") is True
        )
    method = str(said.get("quant_method") or "unknown").lower()
    return StoredQuantization(_precision(method, said), method)


def _precision(method: str, said: Mapping[str, Any]) -> str:
    if method == "gguf":
        return str(said.get("file_type", method))
    if method == "compressed-tensors":
        return _compressed(said)
    if method == "torchao":
        return _torchao(said)
    if method == "quanto":
        return f"quanto-{said.get('weights', 'int8')}"
    if method in _NAMES:
        return _NAMES[method]
    bits = _first(said, _BITS)
    if method in _INTEGER:
        return method if bits is None else f"{method}-int{bits}"
    return method


def _compressed(said: Mapping[str, Any]) -> str:
    """Of the first group of layers: ``fp8``, ``compressed-int4``, ``compressed-float4`` ..."""
    groups = said.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            kind, bits = weights.get("type", "int"), weights.get("num_bits", 8)
            return "fp8" if (kind, bits) == ("float", 8) else f"compressed-{kind}{bits}"
    return "compressed-tensors"


def _torchao(said: Mapping[str, Any]) -> str:
    """By the name of the configuration: ``torchao-int8weightonly``."""
    kind = said.get("quant_type")
    if isinstance(kind, Mapping):
        kind = _first(kind, ("_type",))
    if not isinstance(kind, str):
        return "torchao"
    return "torchao-" + re.sub(r"[^a-z0-9]", "", kind.removesuffix("Config").lower())


def _first(said: Mapping[str, Any], names: tuple[str, ...]) -> Any | None:
    """The first plain value under one of some names, those that lie deeper last."""
    level = [said]
    while level:
        for part in level:
            for name in names:
                if isinstance(part.get(name), (int, str)):
                    return part[name]
        level = [v for part in level for v in part.values() if isinstance(v, Mapping)]
    return None
