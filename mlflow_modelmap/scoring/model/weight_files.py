"""Scoring (no torch here): a model's weight files - safetensors, or else pickles; no adapter."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from safetensors import SafetensorError, safe_open

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.pickles import check_pickle, damaged
from mlflow_modelmap.scoring.model.plain_file import check_plain, read_json
from mlflow_modelmap.scoring.model.training_state import check_no_training_state, empty_tensors
from mlflow_modelmap.scoring.model.weights_format import (
    PICKLE,
    SAFETENSORS,
    WEIGHTS,
    WeightsFormat,
    weights_format,
)
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened

ADAPTER = "adapter_config.json"
_BESIDE = re.compile(r"[^/\\\\:\x00-\x1f]+")
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


def check_has_weights(names: Iterable[str], what: str, refused: str | None = None) -> WeightsFormat:
    """The format of the weights among these names; an InputError unless there are some.

    Parameters
    ----------
    refused
        Why pickles are none here (such as `pickles.SAFETENSORS_ONLY`), or None where they are.
    """
    names = set(names)
    check_no_training_state(names, what)
    form = weights_format(names)
    if form is None:
        pickles = [name for name in names if name.endswith(_PICKLES)]
        if pickles:
            raise InputError(
                f"{capital(what)} has its weights in no file that is read, only in "
                f"{min(pickles)}; load it where you trust it and save it with "
                "`save_pretrained(..., safe_serialization=True)`."
            )
        others = [name for name in names if name.endswith((".safetensors", ".gguf"))]
        there = f", only {min(others)}" if others else ""
        raise InputError(f"{capital(what)} has no weights ({WEIGHTS}){there}.")
    if form is PICKLE and refused:
        raise pickles_refused(
            PICKLE.single if PICKLE.single in names else PICKLE.index, what, refused
        )
    return form


def pickles_refused(name: str, what: str, refused: str) -> InputError:
    """The error for weights that are there as a pickle only, where those are refused."""
    return InputError(
        f"{capital(what)} has its weights only as pickles ({name}), {refused}; convert them with "
        "`save_pretrained(..., safe_serialization=True)`."
    )


def weight_names(names: Iterable[str]) -> list[str]:
    """Which of a repository's files are the weights that transformers reads, with their index."""
    names = set(names)
    form = weights_format(names)
    if form is None:
        return []
    if form.single in names:
        return [form.single]
    return sorted([form.index, *(name for name in names if fnmatchcase(name, form.shards))])


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
    form = weights_format(names) or SAFETENSORS
    if form.single in names:
        return [form.single]
    files = sorted(set(read_index(path, form).values()))
    missing = [name for name in files if name not in names]
    if missing:
        raise InputError(
            f"{capital(what)} lacks the weight file {listed(missing, 1, quoted=False)}; fetch it, "
            "or save the model again."
        )
    return files


def read_index(path: str, form: WeightsFormat = SAFETENSORS) -> dict[str, str]:
    """Which file holds each tensor, as the index in a directory says.

    Raises
    ------
    InputError
        If it cannot be read, is too large, or names anything but files of that format that lie
        beside it: no path, no other ending, no two files that differ only in upper and lower case.
    """
    index = os.path.join(path, form.index)
    written = read_json(index, _INDEX_BYTES)
    named = written.get("weight_map") if isinstance(written, dict) else None
    if not isinstance(named, dict) or not named:
        raise InputError(
            f"{index!r} is no readable index of weights (its weight_map says no files for tensors);"
            " fetch it again."
        )
    files: dict[str, str] = {}
    for name in dict.fromkeys(n if isinstance(n, str) else repr(n) for n in named.values()):
        if not _BESIDE.fullmatch(name) or not name[1:].endswith(form.ending):
            raise InputError(
                f"{index!r} names {shortened(repr(name))} as a file of weights, which must be the "
                f"name of a {form.ending} file beside it; fetch it again."
            )
        if files.setdefault(name.casefold(), name) != name:
            raise InputError(
                f"{index!r} names both {files[name.casefold()]!r} and {name!r}, which are one file "
                "on some machines; save the model again."
            )
    return dict(named)


def check_weights(path: str, what: str) -> None:
    """Raise an InputError unless a file of weights is whole, as far as that shows from outside."""
    if path.endswith(PICKLE.ending):
        check_pickle(path, what)
        return
    tensors, _ = read_header(path, what)
    empty = [name for name, entry in tensors.items() if entry.get("shape") == [0]]
    if empty:
        raise empty_tensors(empty, what)


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
        raise damaged(name, what, reason(error)) from None
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
