"""Scoring: a tokenizer from its directory, splitting text as its file says."""

from __future__ import annotations

import contextlib
import copy
import os
from typing import Any

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.scoring.tokenizer.as_in_file import differing, split_as_in_file
from mlflow_modelmap.scoring.tokenizer.files import holds_tokenizer, tokenizer_files_in
from mlflow_modelmap.words.reason import reason

PANIC = "PanicException"
"""A panic of the tokenizers library is no Exception."""


def load_tokenizer(
    path: str | os.PathLike[str], trust_remote_code: bool = False, tokens_from: str = "file"
) -> Any:
    """The tokenizer of a local directory, never from the network.

    Parameters
    ----------
    tokens_from
        ``file``: it splits text as its ``tokenizer.json`` says; ``class``: as transformers' class
        does. Of one with code of its own it is the code in either case.
    """
    return loaded(path, trust_remote_code, tokens_from)[0]


def loaded(
    path: str | os.PathLike[str], trust_remote_code: bool, tokens_from: str
) -> tuple[Any, Any]:
    """A tokenizer, and what its class would have made of its file (see `split_as_in_file`)."""
    from transformers import AutoTokenizer

    if not holds_tokenizer(os.listdir(path) if os.path.isdir(path) else ()):
        raise InputError(
            f"{os.fspath(path)!r} holds no tokenizer; save one there with "
            "`tokenizer.save_pretrained`, or give the directory that has it."
        )
    tokenizer_files_in(os.fspath(path))  # of a size that can be read whole
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise ScoringError(
            f"The tokenizer in {os.fspath(path)!r} cannot be loaded ({reason(error)})."
        ) from error
    if tokens_from != "file" or has_own_code(tokenizer):
        return tokenizer, None
    return tokenizer, split_as_in_file(tokenizer, path)


def has_own_code(tokenizer: Any) -> bool:
    """Whether a tokenizer's class came with it."""
    return not type(tokenizer).__module__.startswith("transformers.")


def encoded_by(tokenizer: Any, texts: str | list[str], **options: Any) -> Any:
    """What a tokenizer makes of texts.

    Raises
    ------
    ScoringError
        If it fails, or its library panics.
    """
    try:
        return tokenizer(texts, **options)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise ScoringError(
            f"The tokenizer {tokenizer.name_or_path!r} ({type(tokenizer).__name__}) cannot read "
            f"these texts ({reason(error)}); name another with --tokenizer, or take its file's "
            "tokens (tokens_from=file)."
        ) from error


def other_than_in_file(tokenizer: Any, texts: tuple[str, ...], split: bool) -> int:
    """Of how many texts a tokenizer at hand makes other tokens than the file it was loaded with.

    0 where no such file is known, or it is of another vocabulary (the tokenizer was trained anew
    and kept the old one's name); the tokenizer stays as it is.
    """
    folder = _loaded_from(tokenizer)
    if folder is None or has_own_code(tokenizer):
        return 0
    as_stored = copy.copy(tokenizer)
    try:
        at_hand = split_as_in_file(as_stored, folder)
    except ScoringError:
        return 0
    if at_hand is not None:
        own = at_hand.get_vocab()
        stored = as_stored._tokenizer.get_vocab()
        if any(own.get(token, number) != number for token, number in stored.items()):
            return 0
    return differing(as_stored, at_hand, texts, split)


def _loaded_from(tokenizer: Any) -> str | None:
    """The folder of a tokenizer's files, also where it was loaded by its name on the Hub."""
    file = (getattr(tokenizer, "init_kwargs", None) or {}).get("tokenizer_file")
    name = str(getattr(tokenizer, "name_or_path", "") or "")
    if file or not name or os.path.isdir(name):
        return os.path.dirname(file) if file else name or None
    from mlflow_modelmap.scoring.model.hub import cached_snapshot

    with contextlib.suppress(InputError):
        return cached_snapshot(ModelReference(HUB, name), ("tokenizer.json",))
    return None
