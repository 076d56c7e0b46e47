"""Scoring (no torch here): what a model's config.json says, read without loading anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import read_json
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ENDPOINT, VLLM
from mlflow_modelmap.words.shortened import shortened

POSITION_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
)
_SIZES = (
    *("vocab_size", "hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer"),
    *("num_attention_heads", "n_head", "num_key_value_heads", "intermediate_size", "n_inner"),
)
_LARGEST = 2**31 - 1
# Recurrent, or with a bias that grows with distance: no text is too long for them.
NO_POSITION_LIMIT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "bloom"})


def read_config(model_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of ``config.json``.

    Raises
    ------
    InputError
        If the directory holds no readable ``config.json`` with a ``model_type`` and sizes that can
        be, or it leads to other files than the ones that a model's commit covers.
    """
    path = os.path.join(model_path, "config.json")
    if not os.path.lexists(path):
        raise InputError(
            f"{os.fspath(model_path)!r} holds no config.json; give a directory that "
            "`save_pretrained` wrote."
        )
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{path!r} names no model_type; it is no transformers configuration.")
    for part in (config, _text_part(config)):
        _check_sizes(part, path)
        _check_no_other_files(part, path)
    return config


def known_config(files: ModelFiles) -> dict[str, Any]:
    """As `read_config`; of a model behind a server what is known here, which may be nothing.

    Raises
    ------
    InputError
        As `read_config`.
    """
    path = os.path.join(files.model_path, "config.json")
    if files.served is not None and not (files.served.own_folder and os.path.lexists(path)):
        return {}
    return read_config(files.model_path)


def most_tokens(files: ModelFiles, config: Mapping[str, Any], engine: str) -> int | None:
    """The most tokens a text may have under an engine, or None for any number.

    Engines that serve want room for one token more, which they make.

    Parameters
    ----------
    config
        From `known_config`.
    """
    limits = [position_limit(config), files.served.most_tokens if files.served else None]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    return min(known) - (1 if engine in (VLLM, ENDPOINT) else 0)


def brings_own_code(folder: str | os.PathLike[str]) -> bool:
    """Whether the model or tokenizer in a directory names code that would be run to load it."""
    return any(
        _names_code(os.path.join(folder, name)) for name in ("config.json", "tokenizer_config.json")
    )


def _names_code(path: str) -> bool:
    """Closed on doubt: a file that is there and cannot be read may name some."""
    if not os.path.lexists(path):
        return False
    try:
        written = read_json(path)
    except InputError:
        return True
    return isinstance(written, dict) and bool(written.get("auto_map"))


def _check_sizes(config: Mapping[str, Any], path: str) -> None:
    """Raise an InputError if a size is none: a negative number, text, more than memory can hold."""
    for name in (*_SIZES, *POSITION_NAMES):
        value = config.get(name)
        if value is None or isinstance(value, (list, dict)):  # some have one for each layer
            continue
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise InputError(
                f"{path!r} says {name} = {shortened(repr(value))}, which must be a whole number "
                f"from 0 to {_LARGEST:,}; fetch it again."
            )


def _check_no_other_files(config: Mapping[str, Any], path: str) -> None:
    """Raise an InputError if transformers would load other files than those that are looked at."""
    weights = config.get("transformers_weights")
    if weights is not None:
        raise InputError(
            f"{path!r} names its own file of weights ({shortened(repr(weights))}); only "
            "model.safetensors or its shards are read, so take out transformers_weights."
        )
    others = config.get("configuration_files")
    if others is not None and others != ["config.json"]:
        raise InputError(
            f"{path!r} passes on to other configurations ({shortened(repr(others))}); only "
            "config.json is read, so take out configuration_files."
        )


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
