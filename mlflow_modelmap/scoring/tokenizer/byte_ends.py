"""Scoring: how many of a text's UTF-8 bytes its first tokens cover, token by token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"  # what SentencePiece writes for a space


def _byte_of_character() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones for themselves, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


_BYTE_OF = _byte_of_character()


class ByteEnds:
    """Reads the bytes of tokens off their names, where those prove to be the text's own.

    Tokens are read as byte-level BPE writes them, then as SentencePiece does (``<0xE2>`` is one
    byte). A reading counts for a text only if its tokens spell the text; where none does (a text
    that was normalised), a character counts once its last token is there.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = {int(i): str(t) for i, t in tokenizer.added_tokens_decoder.items()}
        self._special = set(tokenizer.all_special_ids)
        self._known: dict[int, tuple[bytes | None, bytes | None]] = {}

    def of(self, text: str, ids: Sequence[int], encoding: Any = None) -> np.ndarray:
        """Bytes that the first m tokens of a text cover, int64, one for each token.

        Parameters
        ----------
        ids
            The text's tokens as the tokenizer gave them.
        encoding
            What the tokenizers library says of them; None where it was not asked.
        """
        if encoding is not None and text.isascii():
            return _complete_characters(text, encoding.offsets)
        spelled = self._spelled(text, ids, encoding)
        if spelled is not None:
            return spelled
        if encoding is not None:
            return _complete_characters(text, encoding.offsets)
        size = len(text.encode("utf-8"))
        return np.linspace(0, size, len(ids) + 1)[1:].astype(np.int64)

    def of_part(self, text: str, ids: Sequence[int]) -> np.ndarray | None:
        """As `of`, of tokens that stood behind others; None where they do not spell the text."""
        return self._counted(text, ids, [False] * len(ids))

    def adds_space(self, text: str, ids: Sequence[int]) -> bool:
        """Whether the tokens spell the text with a space before it that is not there."""
        own = b" " + text.encode("utf-8")
        return any(b"".join(parts) == own for parts in self._readings(ids, [False] * len(ids)))

    def _spelled(self, text: str, ids: Sequence[int], encoding: Any) -> np.ndarray | None:
        outside = self._outside(ids) if encoding is None else encoding.special_tokens_mask
        return self._counted(text, ids, outside)

    def _counted(self, text: str, ids: Sequence[int], outside: Sequence[int]) -> np.ndarray | None:
        own = text.encode("utf-8")
        for parts in self._readings(ids, outside):
            whole = b"".join(parts)
            if whole in (own, b" " + own):
                sizes = [len(part) for part in parts]
                return np.maximum(np.cumsum(sizes, dtype=np.int64) - (len(whole) - len(own)), 0)
        return None

    def _readings(self, ids: Sequence[int], outside: Sequence[int]) -> Iterator[list[bytes]]:
        read = [self._bytes_of(int(token)) for token in ids]
        for reading in (0, 1):
            parts = [
                b"" if out else token[reading] for out, token in zip(outside, read, strict=True)
            ]
            if None not in parts:
                yield [part for part in parts if part is not None]

    def _outside(self, ids: Sequence[int]) -> list[bool]:
        """Which special tokens stand before or after a text."""
        inner = [place for place, token in enumerate(ids) if int(token) not in self._special]
        first, last = (inner[0], inner[-1]) if inner else (len(ids), -1)
        return [not first <= place <= last for place in range(len(ids))]

    def _bytes_of(self, token: int) -> tuple[bytes | None, bytes | None]:
        """As byte-level BPE and as SentencePiece would mean a token; None where they would not."""
        if token not in self._known:
            self._known[token] = self._read(token)
        return self._known[token]

    def _read(self, token: int) -> tuple[bytes | None, bytes | None]:
        if token in self._added:
            content = self._added[token].encode("utf-8")
            return content, content
        name = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(name, str):
            return None, None
        letters = [_BYTE_OF.get(letter) for letter in name]
        level = None if None in letters else bytes(b for b in letters if b is not None)
        byte = _BYTE.fullmatch(name)
        piece = bytes([int(byte[1], 16)]) if byte else name.replace(_SPACE, " ").encode("utf-8")
        return level, piece


def _complete_characters(text: str, offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """Bytes of the characters of which no later token holds a part."""
    ends = np.maximum.accumulate(np.array([end for _, end in offsets], dtype=np.int64))
    starts = [start if end > start else len(text) for start, end in offsets]
    later = np.minimum.accumulate(np.array([*starts[1:], len(text)], dtype=np.int64)[::-1])[::-1]
    reached = np.minimum(ends, later)
    if text.isascii():
        return reached
    widths = [len(character.encode("utf-8")) for character in text]
    return np.concatenate([[0], np.cumsum(widths)])[reached].astype(np.int64)
