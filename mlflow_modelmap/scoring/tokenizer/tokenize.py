"""Scoring: texts to tokens, once per tokenizer, before any model is loaded."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer import windows
from mlflow_modelmap.scoring.tokenizer.byte_ends import ByteEnds
from mlflow_modelmap.scoring.tokenizer.files import holds_tokenizer, tokenizer_files_in
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason

PROBE = "a"
MOST = 8
"""Texts that an error names one by one."""


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
    text_digest, bos, split_special_tokens
        What these tokens were made from, so that they are not used for something else.
    window, stride
        How many tokens of a longer text go through the model at once, and by how many the next
        window moves on; None where every text goes through whole.
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
    window: int | None = None
    stride: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a text, int64, shape (N,)."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    @property
    def scored(self) -> np.ndarray:
        """Scored tokens a text, int64, shape (N,)."""
        return self.lengths - self.first

    @property
    def pieces(self) -> windows.Pieces:
        """What goes through a model: the texts, those that are too long in windows."""
        prefix = self.first if self.bos_applied else 0
        return windows.cut(self.ids, self.first, prefix, self.window, self.stride)

    def made_from(self, texts: TextSet, settings: ScoringSettings) -> bool:
        """Whether these are the tokens of `texts` under the policies of `settings`."""
        return (self.text_digest, self.bos, self.split_special_tokens) == (
            texts.digest,
            settings.bos,
            settings.split_special_tokens,
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
        )

    def fitted(self, limit: int | None, settings: ScoringSettings) -> TokenizedTexts:
        """As `within`, with what the settings say."""
        return self.within(limit, settings.overlong, settings.window_tokens, settings.stride)

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
                f"{_too_long(long, self.lengths)} more than the {limit} tokens that the model "
                "takes; shorten or leave out those texts, cut them with overlong=truncate, or "
                "score them in windows with overlong=window."
            )
        if limit <= self.first:
            raise InputError(f"A model of {limit} positions leaves nothing of a text to score.")
        ids, covered = list(self.ids), self.bytes.copy()
        ends = list(self.ends)
        for index in long:
            ids[index], ends[index] = ids[index][:limit], ends[index][:limit]
            covered[index] = ends[index][-1]
        truncated = tuple(sorted({*self.truncated, *map(int, long)}))
        return replace(self, ids=tuple(ids), ends=tuple(ends), bytes=covered, truncated=truncated)


def load_tokenizer(path: str | os.PathLike[str], trust_remote_code: bool = False) -> Any:
    """The tokenizer of a local directory, never from the network."""
    from transformers import AutoTokenizer

    if not holds_tokenizer(os.listdir(path) if os.path.isdir(path) else ()):
        raise InputError(
            f"{os.fspath(path)!r} holds no tokenizer; save one there with "
            "`tokenizer.save_pretrained`, or give the directory that has it."
        )
    tokenizer_files_in(os.fspath(path))  # of a size that can be read whole
    try:
        return AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except BaseException as error:
        # A panic of the tokenizers library is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ScoringError(
            f"The tokenizer in {os.fspath(path)!r} cannot be loaded ({reason(error)})."
        ) from error


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
    tokenizer = load_tokenizer(tokenizer_path, settings.trust_remote_code)
    return tokenize_with(tokenizer, texts, settings).fitted(limit, settings)


def tokenize_with(tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> TokenizedTexts:
    """As `tokenize`, with a tokenizer that is loaded already; no text is too long here."""
    options = {
        "split_special_tokens": settings.split_special_tokens,
        "padding": False,
        "truncation": False,
        "return_attention_mask": False,
        "verbose": False,
    }
    prefix, own_prefix = _prefixes(tokenizer, settings.bos, options)
    encoded = tokenizer(list(texts.texts), **options)
    ids, ends, covered = [], [], ByteEnds(tokenizer)
    for index, text in enumerate(texts.texts):
        own = encoded["input_ids"][index]
        reached = covered.of(text, own, encoded.encodings[index] if tokenizer.is_fast else None)
        own = own[len(own_prefix) :]
        reached = reached[len(own_prefix) :]
        ids.append(np.array([*prefix, *own], dtype=np.int64))
        ends.append(np.concatenate([np.zeros(len(prefix), dtype=np.int64), reached]))
    first = max(1, len(prefix))
    nothing = [index for index, row in enumerate(ids) if len(row) <= first]
    if nothing:
        raise InputError(
            f"The tokenizer leaves nothing to score of {_numbered(nothing)} of {texts.name!r}: a "
            f"text needs at least {first + 1} tokens, BOS included; leave those texts out"
            + ("." if prefix else ", or score with bos=always.")
        )
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
    )


def _prefixes(tokenizer: Any, policy: str, options: dict[str, Any]) -> tuple[list[int], list[int]]:
    """The tokens to put first under a BOS policy, and those the tokenizer puts there itself.

    Found by encoding a letter with and without special tokens: what a tokenizer's attributes say
    about its BOS and what it does are different things.
    """
    full = tokenizer(PROBE, **options)["input_ids"]
    bare = tokenizer(PROBE, add_special_tokens=False, **options)["input_ids"]
    while bare and bare[0] in tokenizer.all_special_ids:
        bare = bare[1:]
    starts = [
        start
        for start in range(len(full) - len(bare) + 1)
        if bare and full[start : start + len(bare)] == bare
    ]
    own = full[: starts[0]] if starts else []
    if policy == "never":
        return [], own
    if policy == "always" and not own:
        if tokenizer.bos_token_id is None:
            raise InputError(
                "bos=always was asked for, but this tokenizer has no BOS token; use bos=auto."
            )
        return [tokenizer.bos_token_id], own
    return own, own


def _numbered(indices: Collection[int]) -> str:
    return f"text{'s' if len(indices) > 1 else ''} {listed(indices, MOST, quoted=False)}"


def _too_long(indices: np.ndarray, lengths: np.ndarray) -> str:
    shown = [f"{int(index)} ({int(lengths[index])} tokens)" for index in indices]
    several = len(shown) > 1
    return f"Text{'s' if several else ''} {listed(shown, MOST, quoted=False)} " + (
        "have" if several else "has"
    )
