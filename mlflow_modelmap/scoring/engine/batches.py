"""Scoring: which texts go through the model together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlflow_modelmap.scoring.tokenizer.windows import Pieces


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts, or windows of texts, of similar length, padded on the right.

    Attributes
    ----------
    pieces
        Their numbers among all pieces, int64, shape (B,).
    ids
        Tokens, int64, shape (B, T); a piece's own last token fills its row up to T. Under a causal
        model what stands on the right changes nothing, so that no mask is needed.
    rows
        Flat positions in (B * T) whose next token is scored, int64, shape (R,).
    targets
        Those next tokens, int64, shape (R,).
    owners
        Which of `pieces` (0 to B - 1) each scored token belongs to, int64, shape (R,).
    prompts
        Tokens of G beginnings that are read once, int64, shape (G, P); `ids` is then what follows
        them. None where `ids` are whole pieces.
    behind
        Which of these each row follows, int64, shape (B,).
    """

    pieces: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    owners: np.ndarray
    prompts: np.ndarray | None = None
    behind: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Its tokens, padding and prompts that are kept for it included."""
        return self.ids.size + (0 if self.prompts is None else self.prompts.size)


def plan(
    lengths: np.ndarray, indices: Sequence[int] | np.ndarray, budget: int
) -> Iterator[np.ndarray]:
    """Split pieces into batches of at most `budget` tokens, padding included; longest first.

    A piece longer than the budget makes a batch of its own. The pieces of a batch differ little in
    length, so that padding is a few percent.
    """
    order = sorted((int(i) for i in indices), key=lambda i: (-int(lengths[i]), i))
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        count = max(1, budget // longest)
        yield np.array(order[start : start + count], dtype=np.int64)
        start += count


def make_batch(
    ids: Sequence[np.ndarray] | Pieces, pieces: np.ndarray, first: int | np.ndarray
) -> Batch:
    """Pad the tokens of `pieces` (indices into `ids`).

    Tokens from `first` on are scored: one number for all, or one for each of `ids`.
    """
    rows = [ids[i] for i in pieces]
    begins = np.broadcast_to(first, len(ids))[pieces]
    width = max(len(row) for row in rows)
    padded = np.empty((len(rows), width), dtype=np.int64)
    flat, targets, owners = [], [], []
    for place, (row, begin) in enumerate(zip(rows, begins, strict=True)):
        padded[place, : len(row)] = row
        padded[place, len(row) :] = row[-1]
        flat.append(place * width + np.arange(begin - 1, len(row) - 1))
        targets.append(row[begin:])
        owners.append(np.full(len(row) - begin, place))
    return Batch(
        pieces=pieces,
        ids=padded,
        rows=np.concatenate(flat),
        targets=np.concatenate(targets),
        owners=np.concatenate(owners),
    )
