"""Scoring (no torch here): which files of a directory belong to a tokenizer, and whether they can.

A tokenizer without code of its own reads files of known names; what else lies beside them is none
of its business. One with code may read anything that is named like a vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import CONFIGURATION_BYTES, check_plain, read_json
from mlflow_modelmap.words.shortened import shortened

VOCABULARIES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "*.model",
    "*.tiktoken",
)
"""Patterns of names of which a tokenizer has at least one."""
TOKENIZER_FILES = ("*token*.json", "*vocab*", "merges.txt", "*.py", *VOCABULARIES)
"""Patterns of all names that can change what a tokenizer gives; the code may be the model's own."""
_WITHOUT_CODE = (
    *VOCABULARIES,
    *("tokenizer.*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("vocab.bpe", "*_vocab.json", "bpe.codes", "emoji.json", "byte_maps.json", "dict.txt"),
)
"""Patterns of the names that transformers' own tokenizers read."""
_CONFIGURATION = "tokenizer_config.json"
_TEMPLATES = "additional_chat_templates"
_MOST_BYTES = 1 << 28
"""More than any vocabulary has: tokenizer.json of 256,000 tokens in all languages has 35 MB."""


def holds_tokenizer(names: Iterable[str]) -> bool:
    """Whether files of these names can make a tokenizer."""
    return any(matches(name, VOCABULARIES) for name in names)


def tokenizer_files(names: Iterable[str], own_code: bool = True) -> list[str]:
    """Those of some file names that can change what a tokenizer gives, sorted.

    Parameters
    ----------
    own_code
        Whether the tokenizer or its model brings code, which is then among them and may read more.
    """
    patterns = (*_WITHOUT_CODE, *TOKENIZER_FILES) if own_code else _WITHOUT_CODE
    return sorted(name for name in names if matches(name, patterns))


def tokenizer_files_in(folder: str, config: Mapping[str, Any] | None = None) -> list[str]:
    """The names of the files in a directory that make its tokenizer, each known to be readable.

    Parameters
    ----------
    config
        The content of the model's ``config.json``, which may bring code for the tokenizer.

    Raises
    ------
    InputError
        If one is no plain file or larger than a tokenizer's file can be, or the tokenizer's
        configuration is no mapping or leads to files elsewhere.
    """
    names = os.listdir(folder)
    own: Any = {}
    if _CONFIGURATION in names:
        path = os.path.join(folder, _CONFIGURATION)
        own = read_json(path)
        if not isinstance(own, dict):
            raise InputError(f"{path!r} is no configuration of a tokenizer; fetch it again.")
        _check_versions(own.get("fast_tokenizer_files"), path)
    kept = tokenizer_files(names, "auto_map" in own or "auto_map" in (config or {}))
    for name in kept:
        configuration = name.endswith((".py", "_config.json", "_tokens.json", "_map.json"))
        check_plain(
            os.path.join(folder, name), CONFIGURATION_BYTES if configuration else _MOST_BYTES
        )
    # Templates make no token of a text, but transformers reads them whole.
    for path in template_files_in(folder):
        check_plain(path, CONFIGURATION_BYTES)
    return kept


def template_files_in(folder: str) -> list[str]:
    """The chat templates that lie in a directory as files of their own, sorted by path."""
    templates = os.path.join(folder, _TEMPLATES)
    beside = sorted(os.listdir(templates)) if os.path.isdir(templates) else []
    paths = (
        *(os.path.join(templates, name) for name in beside if name.endswith(".jinja")),
        os.path.join(folder, "chat_template.jinja"),
    )
    return [path for path in paths if os.path.lexists(path)]


def _check_versions(files: Any, path: str) -> None:
    """Raise an InputError if a tokenizer's configuration names other files than its own."""
    for name in files if isinstance(files, list) else [] if files is None else [files]:
        if not isinstance(name, str) or not fnmatchcase(name, "tokenizer*.json") or "/" in name:
            raise InputError(
                f"{path!r} names {shortened(repr(name))} among fast_tokenizer_files, which must be "
                "names such as tokenizer.4.json beside it; fetch it again."
            )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
