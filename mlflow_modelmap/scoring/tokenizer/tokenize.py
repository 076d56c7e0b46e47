"""Scoring: texts to tokens, once per tokenizer, before any model is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer import windows
from mlflow_modelmap.scoring.tokenizer.against_sentencepiece import check_as_sentencepiece
from mlflow_modelmap.scoring.tokenizer.around import around_of, prefix_of, suffix_of
from mlflow_modelmap.scoring.tokenizer.as_in_file import differing
from mlflow_modelmap.scoring.tokenizer.byte_ends import ByteEnds
from mlflow_modelmap.scoring.tokenizer.load import encoded_by, has_own_code, loaded
from mlflow_modelmap.scoring.tokenizer.loss import loss
from mlflow_modelmap.scoring.tokenizer.prompts import (
    OF_PROMPTS,
    check_of_prompts,
    tokenize_prompts,
)
from mlflow_modelmap.scoring.tokenizer.without_prompts import cut_alike, responses_alone
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.listed import listed


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """The tokens of a text set under one tokenizer and one BOS policy.

    Attributes
    ----------
    ids
        One int64 array of tokens a text, beginning with the BOS where there is one.
    ends
        For each text, the UTF-8 bytes that its first m tokens cover, int64 of the same length;
        a token may end inside a character.
    bytes
        UTF-8 bytes covered by `ids`, int64, shape (N,).
    first
        Index of the first token that is scored: the tokens before it only condition.
    bos_applied
        Whether a BOS token comes first.
    truncated
        Indices of the texts that were cut to a model's positions.
    text_digest, bos, split_special_tokens, eos, tokens_from
        What these tokens were made from, so that they are not used for something else.
    facts
        What is to be known of them: for a run's params.
    notices
        What whoever scores them is to be told.
    window, stride
        How many tokens of a longer text go through the model at once, and by how many the next
        window moves on; None where every text goes through whole.
    firsts
        Of responses to prompts, instead of `first`: the first scored token of each, int64, shape
        (N,); None for texts that stand for themselves.
    template, system_prompt, end_of_turn
        As `text_digest` and those beside it.
    without_prompts
        The tokens of the responses without their prompts, if these are scored too.
    """

    ids: tuple[np.ndarray, ...]
    ends: tuple[np.ndarray, ...]
    bytes: np.ndarray
    first: int
    bos_applied: bool
    truncated: tuple[int, ...]
    text_digest: str
    bos: str
    split_special_tokens: bool
    eos: str = "never"
    tokens_from: str = "file"
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    window: int | None = None
    stride: int | None = None
    firsts: np.ndarray | None = None
    template: str = "auto"
    system_prompt: str | None = None
    end_of_turn: bool = False
    without_prompts: TokenizedTexts | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens a text, int64, shape (N,); not to be written to."""
        lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)
        lengths.flags.writeable = False
        return lengths

    @property
    def scored(self) -> np.ndarray:
        """Scored tokens a text, int64, shape (N,)."""
        return self.lengths - self.starts

    @property
    def starts(self) -> np.ndarray:
        """Index of the first scored token of each text, int64, shape (N,)."""
        if self.firsts is not None:
            return self.firsts
        return np.full(len(self.ids), self.first, dtype=np.int64)

    @property
    def pieces(self) -> windows.Pieces:
        """What goes through a model: the texts, those that are too long in windows."""
        if self.firsts is not None:
            return windows.cut(self.ids, self.firsts, 0, None, None)
        prefix = self.first if self.bos_applied else 0
        return windows.cut(self.ids, self.first, prefix, self.window, self.stride)

    def made_from(self, texts: TextSet, settings: ScoringSettings) -> bool:
        """Whether these are the tokens of `texts` under the policies of `settings`."""
        own = (self.text_digest, self.bos, self.split_special_tokens, self.eos, self.tokens_from)
        if any(getattr(self, name) != getattr(settings, name) for name in OF_PROMPTS):
            return False
        if (self.without_prompts is not None) != settings.unconditional:
            return False
        return own == (
            texts.digest,
            settings.bos,
            settings.split_special_tokens,
            settings.eos,
            settings.tokens_from,
        )

    def only(self, texts: np.ndarray) -> TokenizedTexts:
        """The tokens of some texts, by their numbers in ascending order."""
        cut = set(self.truncated)
        return replace(
            self,
            ids=tuple(self.ids[i] for i in texts),
            ends=tuple(self.ends[i] for i in texts),
            bytes=self.bytes[texts],
            truncated=tuple(place for place, i in enumerate(texts) if int(i) in cut),
            firsts=None if self.firsts is None else self.firsts[texts],
            without_prompts=self.without_prompts and self.without_prompts.only(texts),
        )

    def fitted(self, limit: int | None, settings: ScoringSettings) -> TokenizedTexts:
        """As `within`, with what the settings say; responses without prompts are cut alike."""
        made = self.within(limit, settings.overlong, settings.window_tokens, settings.stride)
        if made.without_prompts is None:
            return made
        return replace(made, without_prompts=cut_alike(made.without_prompts, made, limit))

    def within(
        self,
        limit: int | None,
        overlong: str,
        window_tokens: int | None = None,
        stride: int | None = None,
    ) -> TokenizedTexts:
        """These tokens, fitted to a model that takes at most `limit` tokens.

        Raises
        ------
        InputError
            If a text is longer and `overlong` is ``error`` (it names the texts and lengths), or
            windows are asked for that are not possible.
        """
        if overlong == windows.WINDOW and self.firsts is not None:
            raise InputError(
                "Responses are scored behind their whole prompts and not in windows; take "
                "overlong=error, or truncate."
            )
        if overlong == windows.WINDOW:
            window, stride = windows.chosen(limit, window_tokens, stride, self.first)
            return replace(self, window=window, stride=stride)
        if limit is None:
            return self
        long = np.flatnonzero(self.lengths > limit)
        if not len(long):
            return self
        if overlong != "truncate":
            raise InputError(
                f"{windows.too_long(long, self.lengths)} more than the {limit} tokens that the "
                "model takes; shorten or leave out those texts, cut them with overlong=truncate, "
                "or score them in windows with overlong=window."
            )
        if limit <= self.starts[long].max():
            nothing = long[self.starts[long] >= limit]
            if self.firsts is not None:
                raise InputError(
                    f"The {limit} tokens that the model takes are filled by the prompt alone of "
                    f"{_numbered(nothing.tolist())}; leave it out."
                )
            raise InputError(f"A model of {limit} positions leaves nothing of a text to score.")
        ids, covered = list(self.ids), self.bytes.copy()
        ends = list(self.ends)
        for index in long:
            ids[index], ends[index] = ids[index][:limit], ends[index][:limit]
            covered[index] = ends[index][-1]
        truncated = tuple(sorted({*self.truncated, *map(int, long)}))
        return replace(self, ids=tuple(ids), ends=tuple(ends), bytes=covered, truncated=truncated)


def tokenize(
    tokenizer_path: str | os.PathLike[str],
    texts: TextSet,
    settings: ScoringSettings,
    limit: int | None = None,
) -> TokenizedTexts:
    """Tokenise a text set; the same tokens serve every model with this tokenizer.

    Parameters
    ----------
    tokenizer_path
        Directory with the tokenizer.
    limit
        A model's positions (`model_config.position_limit`); `TokenizedTexts.within` can apply
        another one later without tokenising again.

    Raises
    ------
    InputError
        If there is no tokenizer, a BOS is asked for that it does not have, a text gives nothing
        to score, or a text is too long (with ``overlong="error"``).
    """
    tokenizer, declared = loaded(tokenizer_path, settings.trust_remote_code, settings.tokens_from)
    if declared is None and settings.tokens_from == "file" and not has_own_code(tokenizer):
        check_as_sentencepiece(tokenizer, tokenizer_path, texts.texts)
    tokens = tokenize_with(tokenizer, texts, settings)
    other = differing(tokenizer, declared, texts.texts, settings.split_special_tokens)
    if other:
        tokens = replace(
            tokens,
            facts={**tokens.facts, "tokenizer_class_differs": other},
            notices=(
                *tokens.notices,
                f"{type(tokenizer).__name__} of transformers splits {other:,} of {len(texts):,} "
                "texts otherwise than the model's tokenizer.json, which was followed "
                "(tokens_from=class follows the class).",
            ),
        )
    return tokens.fitted(limit, settings)


def tokenize_with(tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> TokenizedTexts:
    """As `tokenize`, with a tokenizer that is loaded already; no text is too long here."""
    check_of_prompts(texts, settings)
    if texts.prompts is not None:
        return _of_prompts(tokenizer, texts, settings)
    return _of_texts(tokenizer, texts, settings)


def _of_texts(
    tokenizer: Any,
    texts: TextSet,
    settings: ScoringSettings,
    start: Callable[[], int] | None = None,
) -> TokenizedTexts:
    """The tokens of texts that stand for themselves; `start` comes first where no BOS does."""
    options = {
        "split_special_tokens": settings.split_special_tokens,
        "padding": False,
        "truncation": False,
        "return_attention_mask": False,
        "verbose": False,
    }
    encode = partial(encoded_by, tokenizer)
    around = around_of(tokenizer, encode, options)
    prefix = prefix_of(tokenizer, settings.bos, around.before)
    if start is not None and not prefix:
        prefix = [start()]
    suffix = suffix_of(tokenizer, settings.eos, around.after)
    encoded = encode(list(texts.texts), **options)
    ids, ends, covered = [], [], ByteEnds(tokenizer)
    for index, (text, size) in enumerate(zip(texts.texts, texts.bytes, strict=True)):
        own = encoded["input_ids"][index]
        reached = covered.of(text, own, encoded.encodings[index] if tokenizer.is_fast else None)
        body = slice(len(around.before), len(own) - len(around.after))
        ids.append(np.array([*prefix, *own[body], *suffix], dtype=np.int64))
        ends.append(
            np.concatenate(
                [np.zeros(len(prefix)), reached[body], np.full(len(suffix), size)]
            ).astype(np.int64)
        )
    first = max(1, len(prefix))
    nothing = [index for index, row in enumerate(ids) if len(row) - len(suffix) <= first]
    if nothing:
        raise InputError(
            f"The tokenizer leaves nothing to score of {_numbered(nothing)} of {texts.name!r}: a "
            f"text needs at least {first + 1} tokens, BOS included; leave those texts out"
            + ("." if prefix else ", or score with bos=always.")
        )
    lost = loss(tokenizer, texts, [row[len(prefix) :] for row in ids], ends, len(prefix))
    lost.check(settings.unspelled, texts.name)
    return TokenizedTexts(
        ids=tuple(ids),
        ends=tuple(ends),
        bytes=np.array(texts.bytes, dtype=np.int64),
        first=first,
        bos_applied=bool(prefix),
        truncated=(),
        text_digest=texts.digest,
        bos=settings.bos,
        split_special_tokens=settings.split_special_tokens,
        eos=settings.eos,
        tokens_from=settings.tokens_from,
        facts={"eos_applied": bool(suffix), **lost.facts()},
        notices=lost.notices(),
    )


def _of_prompts(tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> TokenizedTexts:
    if settings.eos != "never":
        raise InputError(
            f"eos is {settings.eos!r}, but a response ends with its turn; leave eos out, and take "
            "end_of_turn to score what ends it."
        )
    made = tokenize_prompts(tokenizer, texts, settings)
    alone = None
    if settings.unconditional:
        alone = responses_alone(_of_texts, tokenizer, texts, settings, made.ids)
    return TokenizedTexts(
        ids=made.ids,
        ends=made.ends,
        bytes=np.array(texts.bytes, dtype=np.int64),
        first=1,
        bos_applied=made.bos_applied,
        truncated=(),
        text_digest=texts.digest,
        bos=settings.bos,
        split_special_tokens=settings.split_special_tokens,
        eos=settings.eos,
        tokens_from=settings.tokens_from,
        facts={**made.facts, **({} if alone is None else alone.facts)},
        notices=made.notices,
        firsts=made.firsts,
        without_prompts=alone,
        **{name: getattr(settings, name) for name in OF_PROMPTS},
    )


def _numbered(indices: Collection[int]) -> str:
    return f"text{'s' if len(indices) > 1 else ''} {listed(indices, windows.MOST, quoted=False)}"
