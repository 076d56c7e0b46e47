"""Scoring: tensors out of pickled weights, by torch's restricted unpickler and nothing else."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable

import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.model.pickles import check_pickle, damaged
from mlflow_modelmap.scoring.model.training_state import empty_tensors
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened

_LEAST_TORCH = (2, 6)
_ASKED_FOR = re.compile(r"\bGLOBAL ([\w.]+)")
"""Where torch says what a pickle wanted: ``... unsupported GLOBAL posix.system whose ...``."""


def tensors_of(folder: str, names: Iterable[str], what: str) -> dict[str, torch.Tensor]:
    """The tensors in a directory's files of pickled weights, as far as may be not yet in memory.

    Parameters
    ----------
    names
        Of the files.
    what
        How an error names the model.

    Raises
    ------
    InputError
        If a file is damaged, or holds anything but tensors by name; nothing that it asks for is
        run.
    ScoringError
        If this torch's restricted unpickler is not to be relied on.
    """
    check_torch(torch.__version__)
    found: dict[str, torch.Tensor] = {}
    for name in names:
        found.update(_tensors(os.path.join(folder, name), what))
    empty = [name for name, tensor in found.items() if tuple(tensor.shape) == (0,)]
    if empty:
        raise empty_tensors(empty, what)
    return found


def check_torch(version: str) -> None:
    """Raise a ScoringError for a torch whose `weights_only` runs code (CVE-2025-32434)."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < _LEAST_TORCH:
        raise ScoringError(
            f"Pickled weights are read by torch 2.6 or later only, and this is {version}, in which "
            "a pickle can run code; upgrade torch, or convert the weights to safetensors."
        )


def _tensors(path: str, what: str) -> dict[str, torch.Tensor]:
    name = os.path.basename(path)
    check_pickle(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        asked = _ASKED_FOR.search(str(error))
        if asked is None:
            raise damaged(name, what, "it is no pickle of tensors") from None
        raise InputError(
            f"The weight file {name} of {what} asks for {shortened(asked[1])}, which is no part of "
            "a tensor and could run code, and nothing of it was run; get the weights as "
            "safetensors, from somebody whom you trust."
        ) from None
    except Exception as error:
        raise damaged(name, what, reason(error, 120)) from None
    tensors = isinstance(held, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in held.items()
    )
    if not tensors or not held:
        raise InputError(
            f"The weight file {name} of {what} holds other things than tensors by name; load it "
            "where you trust it and save the model with `save_pretrained`."
        )
    return dict(held)
