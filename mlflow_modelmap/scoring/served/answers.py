"""Scoring (no torch here): what servers answer - a log-likelihood for each token of a prompt.

Two forms: OpenAI's completions with ``echo`` and ``logprobs``, as vLLM, SGLang and llama-cpp-python
answer them, and SGLang's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TOKEN_ID = re.compile(r"token_id:([0-9]{1,18})")


@dataclass(frozen=True)
class Entry:
    """What a server says of one token.

    Attributes
    ----------
    log_likelihood
        Nats, or None where it gives none.
    token
        As text, or None where it gives none.
    token_id
        Its number, or None where it gives none.
    """

    log_likelihood: float | None
    token: str | None = None
    token_id: int | None = None

    @property
    def is_named(self) -> bool:
        """Whether it says of which token it is."""
        return self.token_id is not None or self.token is not None


@dataclass(frozen=True)
class Answer:
    """What a server says of a prompt's tokens and of those that it made itself.

    Attributes
    ----------
    entries
        One a token, those of its own last.
    made
        How many of these are its own, or None where it does not say.
    text
        What it answers, as text.
    given
        How many tokens it counts in the prompt, or None where it does not say.
    """

    entries: tuple[Entry, ...]
    made: int | None
    text: str = ""
    given: int | None = None


class NoLogLikelihoods(Exception):
    """An answer without what was asked for; its message says what it lacks."""


def completion_question(
    name: str, prompt: str | list[int], logprobs: int, as_ids: bool, *, echo: bool = True
) -> dict[str, Any]:
    """One prompt for ``/v1/completions``; one token is made: 0 means any number to some."""
    asked = {
        "model": name,
        "prompt": prompt,
        "max_tokens": 1,
        "temperature": 0,
        "echo": echo,
        "logprobs": logprobs,
    }
    return {**asked, "return_tokens_as_token_ids": True} if as_ids else asked


def completion_answer(said: Any) -> Answer:
    """What ``/v1/completions`` answered.

    Raises
    ------
    NoLogLikelihoods
        If it holds none.
    """
    choice = _first(_at(said, "choices"))
    logprobs = _at(choice, "logprobs")
    values, tokens = _at(logprobs, "token_logprobs"), _at(logprobs, "tokens")
    if not _is_list(values) or not values:
        raise NoLogLikelihoods("its answer holds no token_logprobs")
    names = tokens if _is_list(tokens) and len(tokens) == len(values) else [None] * len(values)
    made, given = (_at(_at(said, "usage"), f"{of}_tokens") for of in ("completion", "prompt"))
    return Answer(
        tuple(_entry(value, name) for value, name in zip(values, names, strict=True)),
        max(0, made) if type(made) is int else None,
        str(_at(choice, "text") or ""),
        given if type(given) is int else None,
    )


def generate_question(ids: list[int]) -> dict[str, Any]:
    """One prompt for SGLang's ``/generate``."""
    return {
        "input_ids": ids,
        "sampling_params": {"max_new_tokens": 1, "temperature": 0},
        "return_logprob": True,
        "logprob_start_len": 0,
    }


def generate_answer(said: Any) -> Answer:
    """What ``/generate`` answered: the prompt's tokens, then its own.

    Raises
    ------
    NoLogLikelihoods
        If it holds none.
    """
    about = _at(_first(said) if _is_list(said) else said, "meta_info")
    given, own = _at(about, "input_token_logprobs"), _at(about, "output_token_logprobs")
    if not _is_list(given) or not given:
        raise NoLogLikelihoods("its answer holds no input_token_logprobs")
    own = own if _is_list(own) else []
    return Answer(tuple(_triple(one) for one in [*given, *own]), len(own))


def _entry(value: Any, name: Any) -> Entry:
    found = _TOKEN_ID.fullmatch(name) if isinstance(name, str) else None
    if found:
        return Entry(_number(value), None, int(found[1]))
    return Entry(_number(value), name if isinstance(name, str) else None)


def _triple(one: Any) -> Entry:
    if not _is_list(one) or len(one) < 2 or type(one[1]) is not int or abs(one[1]) >= 10**18:
        raise NoLogLikelihoods("its input_token_logprobs are no pairs of a value and a token")
    text = one[2] if len(one) > 2 and isinstance(one[2], str) else None
    return Entry(_number(one[0]), text, one[1])


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.nan


def _at(said: Any, name: str) -> Any:
    return said.get(name) if isinstance(said, Mapping) else None


def _first(said: Any) -> Any:
    return said[0] if _is_list(said) and said else None


def _is_list(said: Any) -> bool:
    return isinstance(said, Sequence) and not isinstance(said, (str, bytes))
