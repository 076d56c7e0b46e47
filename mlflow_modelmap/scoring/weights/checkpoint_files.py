"""Scoring (no torch here): the parameters in a checkpoint's safetensors files, read in pieces."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.pickles import WEIGHT_DISTANCES
from mlflow_modelmap.scoring.model.weight_files import (
    check_has_weights,
    check_no_adapter,
    read_header,
    read_index,
    weight_files,
)
from mlflow_modelmap.scoring.model.weights_format import WEIGHTS, WEIGHTS_INDEX
from mlflow_modelmap.scoring.weights.quantised_tensors import (
    METHODS,
    OF_ACTIVATIONS,
    quantised_in,
)
from mlflow_modelmap.scoring.weights.stored_tensor import FLOATS, StoredTensor

_BUFFER = re.compile(r"(^|\.)(masked_bias|rotary_emb\.(inv_freq|cos_cached|sin_cached))$")
_MASK = re.compile(r"(^|\.)(attention|attn)\.bias$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output_projection|output)\.weight$")
_EMBEDDING = re.compile(
    r"(^|\.)(embed_in|embed_tokens|wte|word_embeddings|tok_embeddings)\.weight$"
)
_COMPARED = 1 << 20


@dataclass(frozen=True)
class CheckpointFiles:
    """The parameters of one checkpoint.

    Attributes
    ----------
    path
        Its directory.
    parameters
        Floating-point parameters, and those that were quantised in a way that is read, by name,
        sorted; each counted once.
    left_out
        Why each other tensor is not among them, by name: ``buffer``, ``integer``, ``of quantised
        NAME`` or ``tied with NAME``.
    identity
        SHA-256, hex, of what tells this content from another without reading it whole: each
        file's header and size, and its Hub blob or else its path and time of change.
    """

    path: str
    parameters: Mapping[str, StoredTensor]
    left_out: Mapping[str, str]
    identity: str


def open_checkpoint(path: str | os.PathLike[str]) -> CheckpointFiles:
    """Read the headers of a checkpoint's weight files; no weights.

    Parameters
    ----------
    path
        Directory with ``model.safetensors``, with an index and its shards, or with a single
        safetensors file of any name.

    Raises
    ------
    InputError
        If there is no such directory, it holds an adapter or no safetensors, a shard is missing or
        damaged, or parameters are stored quantised in a way that is not read.
    """
    folder = Path(path)
    what = repr(str(folder))
    if not os.path.isdir(folder):
        raise InputError(f"There is no directory {what}; give one that holds a model.")
    names = sorted(os.listdir(folder))
    check_no_adapter(names, what, str(folder))
    others = [name for name in names if name.endswith(".safetensors")]
    named = None
    if WEIGHTS not in names and WEIGHTS_INDEX not in names and len(others) == 1:
        files = others
    else:
        check_has_weights(names, what, WEIGHT_DISTANCES)
        files = weight_files(str(folder), names, what)
        named = None if WEIGHTS in names else read_index(str(folder))
    stored: dict[str, StoredTensor] = {}
    digest = hashlib.sha256()
    for file in (folder / name for name in files):
        held, header = read_header(file, what)
        stored.update(_stored(file, held, len(header)))
        digest.update(hashlib.sha256(header).digest() + _file_identity(file).encode())
    if named is not None and (absent := sorted(named.keys() - stored.keys())):
        raise InputError(
            f"The index of {str(folder)!r} names {absent[0]!r} in {named[absent[0]]!r}, which does "
            "not hold it; fetch the checkpoint again."
        )
    parameters, left_out = _select(folder, stored)
    return CheckpointFiles(str(folder), parameters, left_out, digest.hexdigest())


def common_parameters(checkpoints: Sequence[CheckpointFiles], labels: Sequence[str]) -> list[str]:
    """The names of the parameters, which all checkpoints must hold in the same shapes.

    Parameters
    ----------
    checkpoints
        K of them.
    labels
        How to call each in a message.

    Raises
    ------
    InputError
        Naming the first parameter, in alphabetical order, that differs.
    """
    first = checkpoints[0].parameters
    for checkpoint, label in zip(checkpoints, labels, strict=True):
        other = checkpoint.parameters
        for name in sorted(first.keys() | other.keys()):
            if name not in first or name not in other:
                has, lacks = (labels[0], label) if name in first else (label, labels[0])
                raise InputError(
                    f"The parameter {name!r} is in {has} but not in {lacks}; weight distances "
                    "need checkpoints of one architecture."
                )
            if first[name].shape != other[name].shape:
                raise InputError(
                    f"The parameter {name!r} has the shape {list(first[name].shape)} in "
                    f"{labels[0]} and {list(other[name].shape)} in {label}; weight distances need "
                    "checkpoints of one architecture."
                )
    return sorted(first)


def _stored(path: Path, tensors: Mapping[str, Any], header: int) -> dict[str, StoredTensor]:
    """The tensors of a file whose header is so many bytes long."""
    return {
        name: StoredTensor(
            name,
            tuple(entry["shape"]),
            entry["dtype"],
            str(path),
            8 + header + entry["data_offsets"][0],
        )
        for name, entry in tensors.items()
    }


def _file_identity(path: Path) -> str:
    real = path.resolve()
    size = real.stat().st_size
    if real.parent.name == "blobs":  # the Hub's cache names a file by its content
        return f"blob {real.name} {size}"
    return f"file {real} {size} {real.stat().st_mtime_ns}"


def _select(
    folder: Path, stored: Mapping[str, StoredTensor]
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    kept: dict[str, StoredTensor] = {}
    left_out: dict[str, str] = {}
    for name, (tensor, of_it) in quantised_in(stored, folder).items():
        kept[name] = tensor
        left_out.update(dict.fromkeys(of_it, f"of quantised {name}"))
    kept_codes = bool(kept)
    for name in sorted(stored.keys() - kept.keys() - left_out.keys()):
        tensor = stored[name]
        if _BUFFER.search(name) or (_MASK.search(name) and len(tensor.shape) > 2):
            left_out[name] = "buffer"
        elif kept_codes and OF_ACTIVATIONS.search(name):
            left_out[name] = "of quantised activations"
        elif tensor.dtype in FLOATS:
            kept[name] = tensor
        elif name.endswith(("weight", "weight_packed", "qweight")) or tensor.dtype[:2] == "F8":
            raise InputError(
                f"{str(folder)!r} stores {name!r} as {tensor.dtype}, so it is quantised; weight "
                f"distances need checkpoints stored as float32, float16 or bfloat16, or {METHODS}."
            )
        else:
            left_out[name] = "integer"
    kept = dict(sorted(kept.items()))
    for name in [name for name in kept if _HEAD.search(name)]:
        for other in [name for name in kept if _EMBEDDING.search(name)]:
            if _equal(kept[name], kept[other]):
                left_out[name] = f"tied with {other}"
                del kept[name]
                break
    if not kept:
        raise InputError(f"{str(folder)!r} holds no floating-point parameters.")
    return kept, left_out


def _equal(a: StoredTensor, b: StoredTensor) -> bool:
    """Whether two tensors hold the same bytes; stops at the first difference."""
    if (type(a), a.shape, a.dtype) != (StoredTensor, b.shape, b.dtype):
        return False
    left = a.elements * a.itemsize
    with open(a.file, "rb") as one, open(b.file, "rb") as two:
        one.seek(a.offset)
        two.seek(b.offset)
        while left:
            size = min(left, _COMPARED)
            if one.read(size) != two.read(size):
                return False
            left -= size
    return True
