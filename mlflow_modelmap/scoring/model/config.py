"""Scoring (no torch here): what a model's config.json says, read without loading anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.reason import reason

POSITION_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
)
# Recurrent, or with a bias that grows with distance: no text is too long for them.
NO_POSITION_LIMIT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "bloom"})


def read_config(model_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of ``config.json``.

    Raises
    ------
    InputError
        If the directory holds no readable ``config.json`` with a ``model_type``.
    """
    path = os.path.join(model_path, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except FileNotFoundError:
        raise InputError(
            f"{os.fspath(model_path)!r} holds no config.json; give a directory that "
            "`save_pretrained` wrote."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path!r} cannot be read as JSON ({reason(error)}); fetch it again."
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{path!r} names no model_type; it is no transformers configuration.")
    return config


def brings_own_code(folder: str | os.PathLike[str]) -> bool:
    """Whether the model or tokenizer in a directory names code that would be run to load it."""
    return any(
        _names_code(os.path.join(folder, name)) for name in ("config.json", "tokenizer_config.json")
    )


def _names_code(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            written = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(written, dict) and bool(written.get("auto_map"))


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language part of a configuration that has several (vision-language models)."""
    for name in ("text_config", "decoder_config", "llm_config"):
        if isinstance(config.get(name), Mapping):
            return config[name]
    return config


def model_type(config: Mapping[str, Any]) -> str:
    """The family that transformers names, such as ``gpt_neox``."""
    return str(config["model_type"])


def stored_dtype(config: Mapping[str, Any]) -> str | None:
    """``float32``, ``bfloat16`` or ``float16`` as the weights are stored, or None if unsaid."""
    for part in (config, _text_part(config)):
        for name in ("dtype", "torch_dtype"):
            if isinstance(part.get(name), str):
                return part[name].removeprefix("torch.")
    return None


def position_limit(config: Mapping[str, Any]) -> int | None:
    """The most tokens a text may have, or None where the architecture sets no limit."""
    part = _text_part(config)
    if part.get("model_type", config.get("model_type")) in NO_POSITION_LIMIT:
        return None
    for name in POSITION_NAMES:
        value = part.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
