"""Scoring: responses without their prompts - each as a plain text, and all of its tokens scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.listed import listed

Tokens: TypeAlias = Any
"""`TokenizedTexts`, whose module knows this one."""
SEPARATOR = "<|endoftext|>"
"""What stands between documents in training where a tokenizer puts no BOS (GPT-2 and its heirs),
whatever a chat model calls its BOS and EOS."""
_OF_PLAIN = ("bos", "tokens_from", "unspelled", "split_special_tokens", "trust_remote_code")


def responses_alone(
    tokenize_plain: Callable[..., Tokens],
    tokenizer: Any,
    texts: TextSet,
    settings: ScoringSettings,
    behind_prompts: tuple[np.ndarray, ...],
) -> Tokens:
    """The tokens for log p(y): each response as a text of its own, behind one token.

    They are those of a text set of the responses. The token before them is the BOS that this has;
    where the tokenizer puts none, that of `start_of`, because behind a prompt the first token of a
    response is scored too. So is the token that ends its turn, if that is.

    Parameters
    ----------
    tokenize_plain
        What makes tokens of texts that stand for themselves.
    behind_prompts
        The tokens of each prompt with its response.

    Raises
    ------
    InputError
        If no token may come before a response.
    """
    if settings.bos == "never":
        raise InputError(
            "unconditional scores each response without its prompt, behind a token that begins a "
            "text, and bos=never leaves that out; leave out bos or unconditional."
        )
    plain = replace(texts, prompts=None, documents=None, allow_duplicates=True)
    own = ScoringSettings(**{name: getattr(settings, name) for name in _OF_PLAIN})
    made = tokenize_plain(tokenizer, plain, own, start=partial(start_of, tokenizer))
    ends = [row[-1:] if settings.end_of_turn else row[:0] for row in behind_prompts]
    reached = [np.full(len(end), size) for end, size in zip(ends, texts.bytes, strict=True)]
    start = int(made.ids[0][made.first - 1])
    return replace(
        made,
        ids=tuple(np.concatenate(pair) for pair in zip(made.ids, ends, strict=True)),
        ends=tuple(np.concatenate(pair) for pair in zip(made.ends, reached, strict=True)),
        facts={"unconditional_start": str(tokenizer.convert_ids_to_tokens(start))},
        notices=(),
    )


def start_of(tokenizer: Any) -> int:
    """The token that begins a text for a model whose tokenizer puts none there.

    Raises
    ------
    InputError
        If it has none.
    """
    added = {str(of): token for token, of in tokenizer.added_tokens_decoder.items()}
    if SEPARATOR in added:
        return int(added[SEPARATOR])
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InputError(
        "unconditional scores each response behind a token that begins a text, and this tokenizer "
        "has neither a BOS nor an EOS token; leave unconditional out."
    )


def cut_alike(alone: Tokens, behind: Tokens, limit: int | None) -> Tokens:
    """Responses alone, cut where they were cut behind their prompts to fit a model.

    Parameters
    ----------
    behind
        With their prompts, fitted to the model's positions.
    limit
        These.

    Raises
    ------
    InputError
        If a cut goes through a token of a response alone: the two would not be of the same bytes.
    """
    ids, ends, through = list(alone.ids), list(alone.ends), []
    for index in behind.truncated:
        covered = int(behind.bytes[index])
        found = np.flatnonzero(ends[index][alone.first :] == covered)
        if not len(found):
            through.append(index)
            continue
        length = alone.first + int(found[0]) + 1
        ids[index], ends[index] = ids[index][:length], ends[index][:length]
    if through:
        raise InputError(
            f"Text{'s' if len(through) > 1 else ''} {listed(through, 8, quoted=False)} would be "
            "cut inside a token that the response has without its prompt, so that the two "
            "likelihoods would not be of the same bytes; shorten or leave out, or score without "
            "unconditional."
        )
    cut = replace(alone, ids=tuple(ids), ends=tuple(ends), bytes=behind.bytes)
    return replace(cut.within(limit, "error"), truncated=behind.truncated)


def with_both(tokens: Tokens) -> Tokens:
    """2 N rows, the N responses behind their prompts and then each without, for one pass of all."""
    alone = tokens.without_prompts
    if alone is None:
        return tokens
    cut = (*tokens.truncated, *(len(tokens) + index for index in alone.truncated))
    return replace(
        tokens,
        ids=(*tokens.ids, *alone.ids),
        ends=(*tokens.ends, *alone.ends),
        bytes=np.concatenate([tokens.bytes, alone.bytes]),
        firsts=np.concatenate([tokens.starts, alone.starts]),
        truncated=cut,
        without_prompts=None,
    )
