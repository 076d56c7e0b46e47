"""Scoring: a tokenizer that transformers made of a sentencepiece model, held against that library.

Where a folder holds ``tokenizer.model`` and no ``tokenizer.json``, transformers 5 builds the
tokenizer from the class that is declared, whose idea of the first space, of several spaces and of
normalisation may be another one than the model's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.tokenizer.as_in_file import FILE

MODEL = "tokenizer.model"


def check_as_sentencepiece(
    tokenizer: Any, folder: str | os.PathLike[str], texts: Sequence[str]
) -> None:
    """Refuse a tokenizer that makes other pieces of these texts than sentencepiece does.

    Nothing is said where the folder holds no sentencepiece model, or a ``tokenizer.json`` beside
    it, or where the library is not there or cannot read the file (tiktoken models have that name
    too). Texts that hold special tokens are not compared.

    Raises
    ------
    InputError
        It says how many texts, and what to do.
    """
    path = os.path.join(folder, MODEL)
    if not os.path.isfile(path) or os.path.isfile(os.path.join(folder, FILE)):
        return
    try:
        import sentencepiece

        own = sentencepiece.SentencePieceProcessor(model_file=path)
    except (ImportError, RuntimeError, OSError):
        return
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    plain = [text for text in texts if not any(token in text for token in added)]
    other = sum(
        _pieces(tokenizer, text) != [own.id_to_piece(i) for i in own.encode(text)] for text in plain
    )
    if other:
        raise InputError(
            f"{type(tokenizer).__name__} of transformers makes other tokens of {other:,} of "
            f"{len(plain):,} texts than sentencepiece does by {path!r}, so that something else "
            "would be scored than the model was trained on; put the model's tokenizer.json beside "
            "it, name another tokenizer with --tokenizer, or take the class's tokens with "
            "--tokens-from class (tokens_from=class)."
        )


def _pieces(tokenizer: Any, text: str) -> list[str]:
    return list(
        tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    )
