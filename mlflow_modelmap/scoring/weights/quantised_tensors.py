"""Scoring (no torch here): the parameters of a checkpoint that are stored quantised."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import read_json
from mlflow_modelmap.scoring.weights import bitsandbytes_tensor, packed_tensor, scaled_tensor
from mlflow_modelmap.scoring.weights.stored_tensor import StoredTensor

READ = ("bitsandbytes", "gptq", "awq", "fp8", "fbgemm_fp8", "modelopt", "compressed-tensors")
"""Methods, by transformers' names, whose weights are read."""
METHODS = "quantised by bitsandbytes, GPTQ, AWQ, FP8 or compressed-tensors"
OF_ACTIVATIONS = re.compile(r"(^|\.)([qkv]|output|prob|kv|input|activation)_(scale|zero_point)$")
"""Tensors that say how a quantised model rounds its activations or its cache of keys and values."""
_BESIDE = "quantize_config.json"
"""Where AutoGPTQ once wrote what is in config.json now."""


def quantised_in(
    stored: Mapping[str, StoredTensor], folder: Path
) -> dict[str, tuple[StoredTensor, set[str]]]:
    """Parameters that are stored quantised, as numbers, and the names of what belongs to each.

    Parameters
    ----------
    stored
        All tensors of the checkpoint in `folder`, by name.

    Raises
    ------
    InputError
        If what belongs to one does not fit it.
    """
    found = bitsandbytes_tensor.quantised_in(stored)
    taken = found.keys() | {name for _, of_it in found.values() for name in of_it}
    left = {name: tensor for name, tensor in stored.items() if name not in taken}
    if all(tensor.dtype not in scaled_tensor.TYPES for tensor in left.values()):
        return found
    config = _read(folder / "config.json")
    said = config.get("quantization_config")
    if not isinstance(said, dict):
        said = _read(folder / _BESIDE)
    found |= packed_tensor.quantised_in(left, said, str(config.get("model_type", "")))
    return found | scaled_tensor.quantised_in(left, _blocks(said))


def _read(path: Path) -> dict[str, Any]:
    """What a small file of JSON says; nothing where there is none that can be read."""
    try:
        content = read_json(os.fspath(path)) if path.is_file() else None
    except InputError:
        content = None
    return content if isinstance(content, dict) else {}


def _blocks(said: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of numbers that share a scale, as transformers or compressed-tensors say."""
    groups = said.get("config_groups")
    weights = [
        group.get("weights")
        for group in (groups.values() if isinstance(groups, dict) else ())
        if isinstance(group, dict)
    ]
    structures = [w.get("block_structure") for w in weights if isinstance(w, dict)]
    for sizes in (said.get("weight_block_size"), *structures):
        if isinstance(sizes, list) and len(sizes) == 2:
            rows, columns = sizes
            if type(rows) is type(columns) is int and min(sizes) > 0:
                return rows, columns
    return None
