"""Scoring: whether two tokenizers have the same tokens at the same ids."""

from __future__ import annotations

import os
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer


def check_same_vocabulary(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    trust_remote_code: tuple[bool, bool] = (False, False),
) -> None:
    """Refuse two tokenizers whose ids mean different tokens.

    An id that only one of them knows is padding, or a token that was added at the end.

    Raises
    ------
    InputError
        It names the first id that stands for two tokens.
    """
    check_same_ids(
        *(
            load_tokenizer(path, trust)
            for path, trust in zip((first, second), trust_remote_code, strict=True)
        )
    )


def check_same_ids(first: Any, second: Any) -> None:
    """The same for two tokenizers in memory.

    Raises
    ------
    InputError
        It names the first id that stands for two tokens.
    """
    one, other = (
        {token_id: token for token, token_id in tokenizer.get_vocab().items()}
        for tokenizer in (first, second)
    )
    for token_id in sorted(one.keys() & other.keys()):
        if one[token_id] != other[token_id]:
            raise InputError(
                f"The two models have different vocabularies (token {token_id} is "
                f"{one[token_id]!r} in one and {other[token_id]!r} in the other), so that there is "
                "no exact KL divergence between them; the second-order estimate is what there is."
            )
