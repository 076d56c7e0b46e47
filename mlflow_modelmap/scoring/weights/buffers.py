"""Scoring (no torch here): tensors of a checkpoint that are no parameters, or may be codes."""

from __future__ import annotations

import re

from mlflow_modelmap.scoring.weights.stored_tensor import FLOATS, StoredTensor

_BUFFER = re.compile(r"(^|\.)(masked_bias|rotary_emb\.(inv_freq|cos_cached|sin_cached))$")
_MASK = re.compile(r"(^|\.)(cross)?(attention|attn)\.bias$")
_CALLED_MASK = re.compile(r"(^|[._])mask$")
_PLACES = re.compile(r"(^|\.)((position|token_type|relative_position)_(ids|index)|tid2eid)$")
_NO_CODES = ("BOOL", "I64", "U64", "C64", "C128")


def is_buffer(tensor: StoredTensor) -> bool:
    """Whether a tensor is a mask or a table of angles that some checkpoints hold."""
    sides = len(tensor.shape)
    mask = (_MASK.search(tensor.name) and sides > 2) or (
        _CALLED_MASK.search(tensor.name) and sides > 1
    )
    return bool(_BUFFER.search(tensor.name) or mask)


def may_be_codes(tensor: StoredTensor) -> bool:
    """Whether what is no float may be a parameter, and not a mask or a table of places."""
    if tensor.dtype in FLOATS or is_buffer(tensor):
        return False
    if tensor.name.endswith(("weight", "weight_packed", "qweight")) or tensor.dtype[0] == "F":
        return True
    other = tensor.dtype in _NO_CODES or _PLACES.search(tensor.name)
    return len(tensor.shape) > 1 and not other
