"""Scoring: which responses stand behind one prompt, and how it is read once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlflow_modelmap.scoring.engine.batches import Batch, make_batch
from mlflow_modelmap.scoring.engine.company import EXACT, ROUNDED, differ
from mlflow_modelmap.scoring.tokenizer.windows import Pieces

Read = Callable[[Batch], list[np.ndarray]]
PAYS = 0.2
"""Share of all tokens that must be saved; below it reading apart costs more than is won."""
CUT = 0.25
"""Share of a response's tokens that prompts read together may differ in length by."""
ROUNDINGS, LEAST_ROUNDED = 5.0, 0.02
"""Of half precision: how many times its rounding, and how many nats a token at least, pass."""
PROMPTS = 0.5
"""Share of a batch's tokens that the prompts kept for it may have."""
ATTENDED = 4
"""Times a batch's tokens: the most that its rows may look back on, prompts counted for each."""


@dataclass(frozen=True, eq=False)
class SharedPrompts:
    """Beginnings of pieces that several of them have, all but a prompt's last token.

    Attributes
    ----------
    beginnings
        Tokens of each of the G beginnings, int64.
    of
        Which one each of the P pieces has, int64, shape (P,); -1 for none.
    saved
        Tokens that need not be read again.
    """

    beginnings: tuple[np.ndarray, ...]
    of: np.ndarray
    saved: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each beginning, int64, shape (G,)."""
        return np.array([len(row) for row in self.beginnings], dtype=np.int64)

    def batches(self, pieces: Pieces, which: Iterable[int], budget: int) -> Iterator[Batch]:
        """Batches of at most `budget` tokens, the prompts kept for them included.

        Prompts of like length are read together, cut to the shortest of them; what is cut off is
        read with each response. All batches behind the same prompts follow each other, and hold
        the same array of them.
        """
        chosen = np.fromiter(which, dtype=np.int64)
        behind_it = pieces.lengths - np.append(self.lengths, 0)[self.of]
        cut = CUT * float(behind_it[self.of >= 0].mean())
        for places in self._together(chosen, budget, cut):
            width = min(len(self.beginnings[place]) for place in places)
            prompts = np.stack([self.beginnings[place][:width] for place in places])
            number = {place: row for row, place in enumerate(places)}
            rows = chosen[np.isin(self.of[chosen], places)]
            left = pieces.lengths[rows] - width
            room = max(budget - prompts.size, int(budget * (1 - PROMPTS)))
            order = rows[np.lexsort((rows, -left))]
            start = 0
            while start < len(order):
                longest = int(pieces.lengths[order[start]]) - width
                count = min(room // longest, ATTENDED * budget // (width + longest))
                taken = order[start : start + max(1, count)]
                start += len(taken)
                behind = np.array([number[int(self.of[piece])] for piece in taken], dtype=np.int64)
                yield _batch(pieces, taken, prompts, behind)

    def _together(self, chosen: np.ndarray, budget: int, cut: float) -> Iterator[list[int]]:
        """Beginnings that are kept at one time, the longest first; `cut` is in tokens."""
        lengths = self.lengths
        found = np.unique(self.of[chosen])
        order = found[np.lexsort((found, -lengths[found]))]
        start = 0
        while start < len(order):
            longest = int(lengths[order[start]])
            alike = int((lengths[order[start:]] >= longest - cut).sum())
            count = max(1, min(alike, int(PROMPTS * budget) // longest))
            yield [int(place) for place in order[start : start + count]]
            start += count

    def sample(self, pieces: Pieces) -> Batch:
        """A small batch to prove the way on: two responses, behind the two longest beginnings."""
        order = np.argsort(-self.lengths, kind="stable")[:2]
        rows = [np.flatnonzero(self.of == place) for place in order]
        long = rows[0][np.argsort(-pieces.lengths[rows[0]], kind="stable")]
        if len(order) == 1:
            return _batch(
                pieces, long[[0, -1]], self.beginnings[order[0]][None], np.zeros(2, np.int64)
            )
        short = rows[1][np.argmin(pieces.lengths[rows[1]])]
        width = len(self.beginnings[order[1]])
        prompts = np.stack([self.beginnings[place][:width] for place in order])
        return _batch(pieces, np.array([long[0], short]), prompts, np.arange(2))


def _batch(pieces: Pieces, which: np.ndarray, prompts: np.ndarray, behind: np.ndarray) -> Batch:
    width = prompts.shape[1]
    rows = [pieces[int(piece)][width:] for piece in which]
    made = make_batch(rows, np.arange(len(rows)), pieces.firsts[which] - width)
    return replace(made, pieces=which, prompts=prompts, behind=behind)


def shared_prompts(pieces: Pieces) -> SharedPrompts | None:
    """What pieces have in common before their first scored token, if it pays to read it once.

    Either the whole prompt of several responses, or what all prompts begin with (a system's
    message, worked examples); whichever saves more.
    """
    heads = [pieces[i][: int(first) - 1] for i, first in enumerate(pieces.firsts)]
    best = max(_equal(heads), _common(heads), key=lambda shared: shared.saved)
    if best.saved == 0:
        return None
    sample = best.sample(pieces)
    assert sample.prompts is not None
    proof = int(pieces.lengths[sample.pieces].sum()) + sample.prompts.size + sample.ids.size
    return best if best.saved - proof >= PAYS * pieces.lengths.sum() else None


def agree(shared: SharedPrompts, pieces: Pieces, read: Read, exact: bool) -> bool:
    """Whether some responses have the values behind kept prompts that they have in whole rows.

    Parameters
    ----------
    read
        Log-likelihoods of the tokens of each piece of a batch.
    exact
        Whether the model computes in float32 or better; else as much is allowed as the company of
        a batch makes of rounding.
    """
    batch = shared.sample(pieces)
    whole = read(make_batch(pieces, batch.pieces, pieces.firsts))
    limit = EXACT
    if not exact:
        alone = read(make_batch(pieces, batch.pieces[:1], pieces.firsts))
        rounding = float(np.sqrt(np.mean((alone[0] - whole[0]) ** 2)))
        limit = float(np.clip(np.nan_to_num(ROUNDINGS * rounding), LEAST_ROUNDED, ROUNDED))
    pairs = zip(whole, read(batch), strict=True)
    return not any(differ(left, right, limit) for left, right in pairs)


def _equal(heads: Sequence[np.ndarray]) -> SharedPrompts:
    """Groups of equal ones."""
    places: dict[bytes, list[int]] = {}
    for piece, head in enumerate(heads):
        if len(head):
            places.setdefault(head.tobytes(), []).append(piece)
    groups = [rows for rows in places.values() if len(rows) > 1]
    of = np.full(len(heads), -1, dtype=np.int64)
    for group, rows in enumerate(groups):
        of[rows] = group
    beginnings = tuple(heads[rows[0]] for rows in groups)
    saved = sum(len(heads[rows[0]]) * (len(rows) - 1) for rows in groups)
    return SharedPrompts(beginnings, of, saved)


def _common(heads: Sequence[np.ndarray]) -> SharedPrompts:
    """What all of them begin with."""
    shortest = min(len(head) for head in heads)
    first, last = (extreme(head[:shortest].tolist() for head in heads) for extreme in (min, max))
    same = np.array(first) == np.array(last)
    width = int(np.argmin(same)) if not same.all() else shortest
    of = np.full(len(heads), 0 if width else -1, dtype=np.int64)
    return SharedPrompts((heads[0][:width],) if width else (), of, width * (len(heads) - 1))
