"""Scoring (no torch here): codes of a few bits, packed into words of 32."""

from __future__ import annotations

import numpy as np

WORD = 32


def unpacked(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The codes that rows of words hold, one after another from the lowest bit on.

    Parameters
    ----------
    words
        Unsigned, 32 bits, shape (W, n).
    bits
        Of a code, 1 to 8; it may begin in one word and end in the next.
    count
        How many codes.

    Returns
    -------
    ndarray
        Unsigned, shape (count, n).
    """
    at = np.arange(count) * bits
    word, shift = at // WORD, (at % WORD).astype(np.uint32)[:, None]
    codes = words[word] >> shift
    over = at % WORD + bits > WORD
    if over.any():
        codes[over] |= words[word[over] + 1] << (WORD - shift[over])
    return codes & np.uint32((1 << bits) - 1)
