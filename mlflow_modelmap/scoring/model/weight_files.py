"""Scoring (no torch here): a model's weight files - whole safetensors; no pickle, no adapter."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from safetensors import SafetensorError, safe_open

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import check_plain, read_json
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened

ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_SHARDS = "model-*-of-*.safetensors"
_SHARD = re.compile(r"[^/\\\\:\x00-\x1f]+\.safetensors")
_INDEX_BYTES = 1 << 26
"""More than any index has: 20 MB for the largest models there are."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def check_no_adapter(names: Iterable[str], what: str, path: str | None = None) -> None:
    """Raise an InputError if files of these names are an adapter and not a whole model.

    Parameters
    ----------
    what
        How the error names the model, such as ``the model 'org/name'``.
    path
        The directory, if there is one, so that the error can name the base model.
    """
    if ADAPTER in names:
        raise adapter_refused(what, _base_model(path))


def adapter_refused(what: str, base: str | None = None) -> InputError:
    """The error for an adapter where a whole model is needed; `base` is what it was made for."""
    of = f" of {base}" if base else ""
    return InputError(
        f"{capital(what)} is a PEFT adapter{of}, which is not read by itself; merge it into its "
        "base model (`merge_and_unload()`), save that and give it instead."
    )


def check_has_weights(names: Iterable[str], what: str) -> None:
    """Raise an InputError unless among these names are weights that are read: never a pickle."""
    names = set(names)
    if WEIGHTS in names or WEIGHTS_INDEX in names:
        return
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        raise InputError(
            f"{capital(what)} has its weights only as pickles ({min(pickles)}), which can run code "
            "when read and are not; convert them with "
            "`save_pretrained(..., safe_serialization=True)`."
        )
    others = [name for name in names if name.endswith((".safetensors", ".gguf"))]
    there = f", only {min(others)}" if others else ""
    raise InputError(f"{capital(what)} has no weights ({WEIGHTS}){there}.")


def weight_names(names: Iterable[str]) -> list[str]:
    """Which of a repository's files are the weights that transformers reads, with their index."""
    names = set(names)
    if WEIGHTS in names:
        return [WEIGHTS]
    if WEIGHTS_INDEX in names:
        return sorted([WEIGHTS_INDEX, *(name for name in names if fnmatchcase(name, _SHARDS))])
    return []


def weight_files(path: str, names: Iterable[str], what: str) -> list[str]:
    """The names of a directory's weight files, as its index lists them if they are several.

    Parameters
    ----------
    names
        What lies in the directory `path`; weights are among them (`check_has_weights`).
    what
        How an error names the model.

    Raises
    ------
    InputError
        If the index cannot be read or a file that it names is not there.
    """
    names = set(names)
    if WEIGHTS in names:
        return [WEIGHTS]
    files = sorted(set(read_index(path).values()))
    missing = [name for name in files if name not in names]
    if missing:
        raise InputError(
            f"{capital(what)} lacks the weight file {listed(missing, 1, quoted=False)}; fetch it, "
            "or save the model again."
        )
    return files


def read_index(path: str) -> dict[str, str]:
    """Which file holds each tensor, as the index in a directory says.

    Raises
    ------
    InputError
        If it cannot be read, is too large, or names anything but safetensors that lie beside it:
        no path, no other ending, no two files that differ only in upper and lower case.
    """
    index = os.path.join(path, WEIGHTS_INDEX)
    written = read_json(index, _INDEX_BYTES)
    named = written.get("weight_map") if isinstance(written, dict) else None
    if not isinstance(named, dict) or not named:
        raise InputError(
            f"{index!r} is no readable index of weights (its weight_map says no files for tensors);"
            " fetch it again."
        )
    files: dict[str, str] = {}
    for name in dict.fromkeys(n if isinstance(n, str) else repr(n) for n in named.values()):
        if not _SHARD.fullmatch(name):
            raise InputError(
                f"{index!r} names {shortened(repr(name))} as a file of weights, which must be the "
                "name of a .safetensors file beside it; fetch it again."
            )
        if files.setdefault(name.casefold(), name) != name:
            raise InputError(
                f"{index!r} names both {files[name.casefold()]!r} and {name!r}, which are one file "
                "on some machines; save the model again."
            )
    return dict(named)


def read_header(path: str | os.PathLike[str], what: str) -> tuple[dict[str, Any], bytes]:
    """What a safetensors file says of its tensors, once it is known to be whole; no weights.

    Parameters
    ----------
    path
        The file.
    what
        How an error names the model.

    Returns
    -------
    tensors, header
        ``dtype``, ``shape`` and ``data_offsets`` by name; and the header's bytes, behind whose 8
        bytes of length the data begins.

    Raises
    ------
    InputError
        If the file cannot be opened, is a pointer to one, damaged or cut short.
    """
    name = os.path.basename(path)
    check_plain(os.fspath(path))
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if start == b"version ":
                raise InputError(
                    f"{capital(what)} holds only a Git LFS pointer for {name}; fetch it with `git "
                    "lfs pull`."
                )
            with safe_open(path, framework="np"):  # checks header, offsets and length
                pass
            header = file.read(int.from_bytes(start, "little"))
        tensors = json.loads(header)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"The weight file {name} of {what} is damaged or cut short ({reason(error)}); fetch "
            "it again."
        ) from None
    tensors.pop("__metadata__", None)
    return tensors, header


def capital(what: str) -> str:
    """How a sentence begins with the name of a model."""
    return what[:1].upper() + what[1:]


def _base_model(path: str | None) -> str | None:
    """The base model that an adapter's configuration names, if it can be read."""
    if path is None:
        return None
    try:
        base = read_json(os.path.join(path, ADAPTER))["base_model_name_or_path"]
    except (InputError, TypeError, KeyError):
        return None
    return shortened(base) if isinstance(base, str) and base else None
