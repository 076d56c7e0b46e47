"""Scoring: a tokenizer that splits text as its own tokenizer.json says, whatever its class does.

transformers 5 builds many tokenizers anew from the class that a configuration declares: vocabulary
and merges are taken from ``tokenizer.json``, but normaliser and pre-tokenizer are the class's. The
model was trained on what the file says.
"""

from __future__ import annotations

import os
from typing import Any

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.words.reason import reason

FILE = "tokenizer.json"


def split_as_in_file(tokenizer: Any, folder: str | os.PathLike[str]) -> Any | None:
    """Make a tokenizer split text as the ``tokenizer.json`` beside it says.

    What comes before and after a text (BOS, EOS) stays the tokenizer's own, and so do tokens that
    it adds to those of the file at the ids that follow.

    Parameters
    ----------
    tokenizer
        Of transformers, loaded from `folder`, without code of its own; it is changed.

    Returns
    -------
    backend
        The `tokenizers.Tokenizer` that its class had made, to compare with; None where there is no
        file, or no such thing in the tokenizer.

    Raises
    ------
    ScoringError
        If the file cannot be read.
    """
    from tokenizers import Tokenizer

    path = os.path.join(folder, FILE)
    declared = getattr(tokenizer, "_tokenizer", None)
    if not isinstance(declared, Tokenizer) or not os.path.isfile(path):
        return None
    try:
        stored = Tokenizer.from_file(path)
    except Exception as error:
        raise ScoringError(f"{path!r} cannot be read ({reason(error)}); fetch it again.") from None
    stored.no_padding()
    stored.no_truncation()
    if declared.post_processor is not None:
        stored.post_processor = declared.post_processor
    _add_what_is_missing(stored, declared)
    tokenizer._tokenizer = stored
    return declared


def _add_what_is_missing(stored: Any, declared: Any) -> None:
    """Tokens that a configuration adds to those of the file, where their ids come out the same."""
    there = stored.get_added_tokens_decoder()
    for token_id, token in sorted(declared.get_added_tokens_decoder().items()):
        if token_id in there or stored.token_to_id(token.content) not in (None, token_id):
            continue
        known = stored.token_to_id(token.content) == token_id
        if known or token_id == stored.get_vocab_size():
            stored.add_special_tokens([token]) if token.special else stored.add_tokens([token])


def differing(tokenizer: Any, declared: Any | None, texts: tuple[str, ...], split: bool) -> int:
    """Of how many texts the class that is declared would make other tokens.

    Parameters
    ----------
    declared
        From `split_as_in_file`.
    split
        Whether special tokens inside a text are read as plain characters.
    """
    if declared is None:
        return 0
    own = _ids(tokenizer._tokenizer, texts, split)
    try:
        others = _ids(declared, texts, split)
    except Exception:
        return len(texts)  # a class that the vocabulary does not fit
    return sum(one != other for one, other in zip(own, others, strict=True))


def _ids(backend: Any, texts: tuple[str, ...], split: bool) -> list[list[int]]:
    before = backend.encode_special_tokens
    backend.encode_special_tokens = split
    try:
        encoded = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    finally:
        backend.encode_special_tokens = before
    return [one.ids for one in encoded]
