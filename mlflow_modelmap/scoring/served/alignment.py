"""Scoring (no torch here): which of a server's entries belongs to which of the tokens asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlflow_modelmap.scoring.served.answers import Answer, Entry


class NotTheseTokens(Exception):
    """Entries that are of other tokens than those asked for; its message says how."""


class Spelling:
    """How a tokenizer writes single tokens, as servers show them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of(self, token_id: int) -> str:
        """A token as text."""
        if token_id not in self._known:
            self._known[token_id] = self._tokenizer.decode(
                [token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        return self._known[token_id]

    def alone(self, text: str) -> int | None:
        """The token that writes this text and nothing else, if there is one."""
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return ids[0] if len(ids) == 1 and self.of(ids[0]) == text else None

    def says_other(self, entry: Entry, token_id: int) -> bool:
        """Whether an entry is of another token; False where that cannot be told."""
        if entry.token_id is not None:
            return entry.token_id != token_id
        if entry.token is None or entry.token.startswith("bytes:"):
            return False
        own = self.of(token_id)
        if not entry.token or "\ufffd" in entry.token + own:
            return False  # special, or a part of a character
        said = _plain(entry.token)
        spaced = self._spaced(token_id)
        if spaced is None:
            return bool(own) and said != _plain(own)
        return said.strip(" ") != spaced.strip(" ")

    def _spaced(self, token_id: int) -> str | None:
        """A token of SentencePiece, whose spaces at the edges are shown by some and not by others.

        None of all other tokenizers, which show each token as it is.
        """
        raw = self._tokenizer.convert_ids_to_tokens(token_id)
        return _plain(raw) if isinstance(raw, str) and "▁" in raw else None


def _plain(text: str) -> str:
    return text.replace("▁", " ").replace("Ġ", " ").replace("Ċ", "\n")


def aligned(
    answer: Answer, ids: np.ndarray, spelling: Spelling, *, has_bos: bool, takes_tokens: bool
) -> tuple[np.ndarray, bool]:
    """The values of all tokens but the first, and whether the server put a token of its own first.

    A server may make a token behind the prompt, leave a BOS out, or (of text) put one first.

    Returns
    -------
    (values, prefixed)
        Nats, float64, shape (len(ids) - 1,); NaN where it gives none.

    Raises
    ------
    NotTheseTokens
        If the entries are fewer, more, or of other tokens.
    """
    entries, count = answer.entries, len(ids)
    if not takes_tokens and answer.given not in (None, count, count + 1, count - has_bos):
        raise NotTheseTokens(f"it counts {answer.given} tokens in it where {count} were meant")
    fitting: list[tuple[np.ndarray, bool]] = []
    wrong: str | None = None
    # A BOS that is left out, and (of text) one that is put first.
    shifts = (0, *((1,) if has_bos else ()), *(() if takes_tokens else (-1,)))
    named = any(entry.is_named for entry in entries)
    own = 1 if answer.made is None else min(answer.made, 1)
    # llama-cpp-python counts the token that it makes, and does not show it.
    extra = {own, 0} if named or answer.made is None else {own}
    for shift in shifts:
        if len(entries) - (count - shift) not in extra or (shift and not named):
            continue
        first = max(0, shift)
        shown = entries[max(0, -shift) :][: count - first]
        other = next(
            (
                at
                for at, (entry, token) in enumerate(zip(shown, ids[first:], strict=True), first)
                if spelling.says_other(entry, int(token))
            ),
            None,
        )
        if other is None:
            fitting.append((_values(shown, first, count), shift < 0))
            continue
        entry = shown[other - first]
        said = entry.token if entry.token is not None else f"token {entry.token_id}"
        wrong = wrong or (
            f"its token {other} is {said!r} where {spelling.of(int(ids[other]))!r} was meant"
        )
    if fitting:
        return fitting[0]
    told = len(entries) - (own if len(entries) > count else 0)
    raise NotTheseTokens(wrong or f"it gives {told} entries for {count} tokens")


def _values(shown: Sequence[Entry], first: int, count: int) -> np.ndarray:
    values = np.full(count, np.nan)
    for at, entry in enumerate(shown, first):
        if entry.log_likelihood is not None:
            values[at] = entry.log_likelihood
    return values[1:]
