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
from mlflow_modelmap.scoring.weights.buffers import is_buffer, may_be_codes
from mlflow_modelmap.scoring.weights.quantised_tensors import (
    METHODS,
    OF_ACTIVATIONS,
    OF_CACHE,
    Quantised,
    quantised_in,
)
from mlflow_modelmap.scoring.weights.stored_tensor import FLOATS, StoredTensor

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
    optional
        Those that are all zeros and added by quantising, it may be: no parameters of a checkpoint
        that lacks them.
    identity
        SHA-256, hex, of what tells this content from another without reading it whole: each
        file's header and size, and its Hub blob or else its path and time of change; and what its
        configuration says of quantised weights.
    """

    path: str
    parameters: Mapping[str, StoredTensor]
    left_out: Mapping[str, str]
    optional: frozenset[str]
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
    quantised = quantised_in(stored, folder)
    digest.update(quantised.said.encode())
    parameters, left_out = _select(folder, stored, quantised)
    return CheckpointFiles(str(folder), parameters, left_out, quantised.biases, digest.hexdigest())


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
    lacking: set[str] = set()
    for name in sorted({name for checkpoint in checkpoints for name in checkpoint.parameters}):
        having = [checkpoint for checkpoint in checkpoints if name in checkpoint.parameters]
        if len(having) < len(checkpoints):
            if all(name in checkpoint.optional for checkpoint in having):
                lacking.add(name)
                continue
            there = next(c for c in checkpoints if (name in c.parameters) != (name in first))
            pair = labels[0], labels[list(checkpoints).index(there)]
            has, lacks = pair if name in first else pair[::-1]
            raise InputError(
                f"The parameter {name!r} is in {has} but not in {lacks}; weight distances "
                "need checkpoints of one architecture."
            )
        for checkpoint, label in zip(checkpoints, labels, strict=True):
            shape = checkpoint.parameters[name].shape
            if first[name].shape != shape:
                raise InputError(
                    f"The parameter {name!r} has the shape {list(first[name].shape)} in "
                    f"{labels[0]} and {list(shape)} in {label}; weight distances need "
                    "checkpoints of one architecture."
                )
    return sorted(first.keys() - lacking)


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
    folder: Path, stored: Mapping[str, StoredTensor], quantised: Quantised
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    kept: dict[str, StoredTensor] = {}
    left_out: dict[str, str] = {}
    for name, (tensor, of_it) in quantised.parameters.items():
        kept[name] = tensor
        left_out.update(dict.fromkeys(of_it, f"of quantised {name}"))
    for name in sorted(stored.keys() - kept.keys() - left_out.keys()):
        tensor = stored[name]
        if is_buffer(tensor):
            left_out[name] = "buffer"
        elif (OF_CACHE.search(name) and tensor.elements == 1) or (
            quantised.parameters and OF_ACTIVATIONS.search(name)
        ):
            left_out[name] = "of quantised activations"
        elif tensor.dtype in FLOATS:
            kept[name] = tensor
        elif may_be_codes(tensor):
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
