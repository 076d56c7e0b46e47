"""Scoring: what a tokenizer puts before and after a text, and what is put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mlflow_modelmap.errors import InputError

PROBES = ("a", "1", ".", "の", "я", "ا")
"""A vocabulary that knows one of them will do."""


class Around(NamedTuple):
    """What a tokenizer puts before and after a text by itself."""

    before: list[int]
    after: list[int]


def around_of(tokenizer: Any, encode: Callable[..., Any], options: dict[str, Any]) -> Around:
    """Found by encoding a letter with and without special tokens: what a tokenizer's attributes
    say about its BOS and EOS and what it does are different things."""
    special = set(tokenizer.all_special_ids)
    for probe in PROBES:
        full = encode(probe, **options)["input_ids"]
        bare = encode(probe, add_special_tokens=False, **options)["input_ids"]
        while bare and bare[0] in special:
            bare = bare[1:]
        while bare and bare[-1] in special:
            bare = bare[:-1]
        for start in range(len(full) - len(bare) + 1 if bare else 0):
            if full[start : start + len(bare)] == bare:
                return Around(full[:start], full[start + len(bare) :])
    return Around([], [])


def prefix_of(tokenizer: Any, policy: str, own: list[int]) -> list[int]:
    """The tokens to put before a text under a BOS policy."""
    if policy == "never":
        return []
    if policy == "always" and not own:
        if tokenizer.bos_token_id is None:
            raise InputError(
                "bos=always was asked for, but this tokenizer has no BOS token; use bos=auto."
            )
        return [tokenizer.bos_token_id]
    return own


def suffix_of(tokenizer: Any, policy: str, own: list[int]) -> list[int]:
    """The tokens to put after a text, and to score, under an EOS policy."""
    if policy == "never":
        return []
    if policy == "always" and not own:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "eos=always was asked for, but this tokenizer has no EOS token; use eos=never."
            )
        return [tokenizer.eos_token_id]
    return own
