"""Scoring: which texts go through the model together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts of similar length, padded on the right.

    Attributes
    ----------
    texts
        Indices of the texts, int64, shape (B,).
    ids
        Tokens, int64, shape (B, T); a text's own last token fills its row up to T. Under a causal
        model what stands on the right changes nothing, so that no mask is needed.
    rows
        Flat positions in (B * T) whose next token is scored, int64, shape (R,).
    targets
        Those next tokens, int64, shape (R,).
    owners
        Which of `texts` (0 to B - 1) each scored token belongs to, int64, shape (R,).
    """

    texts: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    owners: np.ndarray


def plan(lengths: np.ndarray, indices: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Split texts into batches of at most `budget` tokens, padding included; longest first.

    A text longer than the budget makes a batch of its own. The texts of a batch differ little in
    length, so that padding is a few percent.
    """
    order = sorted((int(i) for i in indices), key=lambda i: (-int(lengths[i]), i))
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        count = max(1, budget // longest)
        yield np.array(order[start : start + count], dtype=np.int64)
        start += count


def make_batch(ids: Sequence[np.ndarray], texts: np.ndarray, first: int) -> Batch:
    """Pad the tokens of `texts` (indices into `ids`); tokens from `first` on are scored."""
    rows = [ids[i] for i in texts]
    width = max(len(row) for row in rows)
    padded = np.empty((len(rows), width), dtype=np.int64)
    flat, targets, owners = [], [], []
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
        padded[place, len(row) :] = row[-1]
        flat.append(place * width + np.arange(first - 1, len(row) - 1))
        targets.append(row[first:])
        owners.append(np.full(len(row) - first, place))
    return Batch(
        texts=texts,
        ids=padded,
        rows=np.concatenate(flat),
        targets=np.concatenate(targets),
        owners=np.concatenate(owners),
    )
