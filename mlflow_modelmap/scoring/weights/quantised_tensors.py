"""Scoring (no torch here): the parameters of a checkpoint that are stored quantised."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import read_json
from mlflow_modelmap.scoring.weights import bitsandbytes_tensor, packed_tensor, scaled_tensor
from mlflow_modelmap.scoring.weights.buffers import may_be_codes
from mlflow_modelmap.scoring.weights.stored_tensor import FLOATS, StoredTensor, unlike
from mlflow_modelmap.words.shortened import shortened

_READ = ("bitsandbytes", "gptq", "awq", "fp8", "fbgemm_fp8", "modelopt", "compressed-tensors")
"""Methods, by transformers' names, whose weights are read."""
METHODS = "quantised by bitsandbytes, GPTQ, AWQ, FP8, ModelOpt or compressed-tensors"
_COMPRESSED = (
    "dense",
    "mixed-precision",
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
    "mxfp8-quantized",
)
"""Formats of compressed-tensors that are read."""
OF_ACTIVATIONS = re.compile(r"(^|\.)([qkv]|output|prob|kv|input|activation)_(scale|zero_point)$")
"""Tensors that say how a quantised model rounds its activations or its cache of keys and values."""
OF_CACHE = re.compile(r"(^|\.)(k|v|kv)_scale$")
"""Those of the cache, which plain weights have as well."""
_BESIDE = "quantize_config.json"
"""Where AutoGPTQ once wrote what is in config.json now."""
_TWO_SIZES = re.compile(r"\d{1,9}x\d{1,9}")


@dataclass(frozen=True)
class Quantised:
    """What of a checkpoint is stored quantised.

    Attributes
    ----------
    parameters
        As numbers, by name, with the names of the tensors that belong to each.
    biases
        Of layers that were packed: all zeros, which some programs add to layers that have none.
    said
        What the configuration says that numbers follow from.
    """

    parameters: Mapping[str, tuple[StoredTensor, set[str]]]
    biases: frozenset[str] = frozenset()
    said: str = ""


def quantised_in(stored: Mapping[str, StoredTensor], folder: Path) -> Quantised:
    """What is stored quantised among all tensors of the checkpoint in `folder`, by name.

    Raises
    ------
    InputError
        If what belongs to one does not fit it, or the configuration says that it was quantised in
        a way that is not read.
    """
    found = bitsandbytes_tensor.quantised_in(stored)
    taken = found.keys() | {name for _, of_it in found.values() for name in of_it}
    left = {name: tensor for name, tensor in stored.items() if name not in taken}
    if not any(may_be_codes(tensor) for tensor in left.values()):
        return Quantised(found)
    config = _read(folder / "config.json")
    said = _said(config) or _read(folder / _BESIDE)
    _check_read(said, folder)
    packed = packed_tensor.quantised_in(left, said, str(config.get("model_type", "")))
    bits = [w["num_bits"] for w in _weights(said) if isinstance(w.get("num_bits"), int)]
    scaled = scaled_tensor.quantised_in(left, _blocks(said), bits)
    both = found | packed | scaled
    owned = {name for _, of_it in both.values() for name in of_it}
    for name in [*(packed.keys() & scaled.keys()), *(owned & both.keys())]:
        raise unlike(both[name][0])
    biases = {f"{name.removesuffix('weight')}bias" for name in packed} & stored.keys()
    zeros = frozenset(
        name for name in biases if stored[name].dtype in FLOATS and not stored[name].values().any()
    )
    return Quantised(both, zeros, json.dumps([said, config.get("model_type")]) if both else "")


def is_read(method: str) -> bool:
    """Whether weights are read that a method, by transformers' name, has quantised."""
    return method in _READ or method.startswith("modelopt_")


def _read(path: Path) -> dict[str, Any]:
    """What a small file of JSON says; nothing where there is none."""
    content = read_json(os.fspath(path)) if os.path.lexists(path) else None
    return content if isinstance(content, dict) else {}


def _said(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration, or that of the text in it, says of how the weights were quantised."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for name in ("quantization_config", "compression_config"):
            said = part.get(name)
            if isinstance(said, dict) and said:
                return said
    return {}


def _check_read(said: Mapping[str, Any], folder: Path) -> None:
    method = str(said.get("quant_method") or said.get("method") or "").lower()
    forms: list[Any] = []
    if method == "compressed-tensors":
        sparse = said.get("sparsity_config")
        forms = [said.get("format"), *(group.get("format") for group in _groups(said))]
        forms += [sparse.get("format")] if isinstance(sparse, dict) else []
    unread: list[Any] = [method] if method and not is_read(method) else []
    unread += [form for form in forms if form and form not in _COMPRESSED]
    if unread:
        raise InputError(
            f"{os.fspath(folder)!r} is quantised by {shortened(str(unread[0]))}, so its config.json"
            " says, which is not read; weight distances need checkpoints stored as float32, "
            f"float16 or bfloat16, or {METHODS}."
        )


def _groups(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Groups of layers as compressed-tensors says them."""
    groups = said.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        if isinstance(group, dict):
            yield group


def _weights(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """How each group's weights were quantised."""
    for group in _groups(said):
        if isinstance(group.get("weights"), dict):
            yield group["weights"]


def _blocks(said: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of numbers that share a scale, as transformers or compressed-tensors say."""
    structures = [weights.get("block_structure") for weights in _weights(said)]
    for sizes in (said.get("weight_block_size"), *structures):
        if isinstance(sizes, str) and _TWO_SIZES.fullmatch(sizes):
            sizes = [int(size) for size in sizes.split("x")]
        if isinstance(sizes, list) and len(sizes) == 2:
            rows, columns = sizes
            if type(rows) is type(columns) is int and min(sizes) > 0:
                return rows, columns
    return None
