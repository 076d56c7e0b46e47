"""Scoring: how much of the texts a tokenizer cannot spell, so that another text would be scored."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet

_SPACE = "▁"  # what sentencepiece writes for a space
_SHOWN = 5e-5
"""Shares below this are 0.00 % and not worth a word."""


@dataclass(frozen=True)
class Loss:
    """What is lost of the texts.

    Attributes
    ----------
    unknown
        Share of their bytes that became the unknown token.
    rewritten
        Share of their characters that the tokenizer's normaliser takes away or writes as others.
    """

    unknown: float = 0.0
    rewritten: float = 0.0

    def check(self, most: float, name: str) -> None:
        """Refuse texts of which more is lost than the setting ``unspelled`` allows.

        Raises
        ------
        InputError
            It says what is lost, and how much.
        """
        worst = max(self.unknown, self.rewritten)
        if worst > most:
            raise InputError(
                f"The tokenizer cannot spell the texts of {name!r}: {self._told()}, so that other "
                "texts would be scored; give texts that the model was made for, or allow it with "
                f"unspelled={min(1.0, np.ceil(worst * 100) / 100):g}."
            )

    def facts(self) -> dict[str, float]:
        """For a run's params, where anything is lost."""
        told = {"unknown_share": self.unknown, "rewritten_share": self.rewritten}
        return {name: round(share, 6) for name, share in told.items() if share}

    def notices(self) -> tuple[str, ...]:
        """One sentence, where anything is lost."""
        if max(self.unknown, self.rewritten) < _SHOWN:
            return ()
        return (f"The tokenizer cannot spell all of the texts: {self._told()}.",)

    def _told(self) -> str:
        parts = []
        if self.unknown >= _SHOWN:
            parts.append(f"{100 * self.unknown:.2f} % of the bytes become its unknown token")
        if self.rewritten >= _SHOWN:
            parts.append(
                f"{100 * self.rewritten:.2f} % of the characters are written otherwise "
                "(lower case, other forms or fewer spaces)"
            )
        return " and ".join(parts)


def loss(
    tokenizer: Any,
    texts: TextSet,
    bodies: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    before: int,
) -> Loss:
    """How much of the texts a tokenizer cannot spell.

    Parameters
    ----------
    bodies
        Tokens of each text without what was put before it.
    ends
        Bytes reached by each token, with the `before` tokens that were put first.
    """
    token, lost = tokenizer.unk_token_id, 0
    for text, ids, reached in zip(texts.texts, bodies, ends, strict=True):
        unknown = ids == token
        # Where EOS and unknown are one token (GPT-2), a text cannot hold it but in its own words.
        if token is None or not unknown.any() or str(tokenizer.unk_token) in text:
            continue
        sizes = np.diff(reached[before:], prepend=0)
        lost += int(sizes[unknown].sum())
    return Loss(lost / sum(texts.bytes), _rewritten(tokenizer, texts))


def _rewritten(tokenizer: Any, texts: TextSet) -> float:
    normaliser = getattr(getattr(tokenizer, "_tokenizer", None), "normalizer", None)
    if normaliser is None:
        return 0.0
    lost = total = 0
    for text in texts.texts:
        total += len(text)
        made = unicodedata.normalize("NFC", normaliser.normalize_str(text).replace(_SPACE, " "))
        plain = unicodedata.normalize("NFC", text)  # the same characters, however composed
        if made.strip(" ") != plain.strip(" "):
            lost += sum((Counter(plain) - Counter(made)).values())
    return lost / total
