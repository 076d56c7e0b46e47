"""Scoring: which pieces of text may share a batch, so that no value depends on its company."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlflow_modelmap.scoring.engine.batches import plan

SHARE = 0.004
"""Of all tokens: how many may go through the model once more in the batch of a proof."""
ROUNDED, EXACT = 0.2, 3e-4
"""Nats a token (root mean square) that rounding explains, in half precision and in float32."""
_LENGTHS = ("original_max_position_embeddings", "max_position_embeddings", "n_positions")

ReadTogether = Callable[[np.ndarray], list[np.ndarray]]
"""Log-likelihoods of the tokens of each of some pieces, read in one batch of their own."""


@dataclass(frozen=True)
class Company:
    """Which pieces may be in one batch, by their lengths in tokens.

    Attributes
    ----------
    edges
        Pieces on different sides of one of these lengths do not meet; the length itself is below.
    alone_above
        Pieces longer than this are a batch by themselves; None for none.
    """

    edges: tuple[int, ...] = ()
    alone_above: int | None = None

    def __str__(self) -> str:
        if self == ALONE:
            return "one text"
        words = "length-sorted tokens"
        if self.edges:
            words += f", apart at {', '.join(map(str, self.edges))}"
        return words if self.alone_above is None else f"{words}, one text above {self.alone_above}"

    def groups(self, lengths: np.ndarray, pieces: Iterable[int]) -> list[np.ndarray]:
        """The pieces that may meet each other, the longest group first; none that is alone."""
        which = np.fromiter(pieces, dtype=np.int64)
        if self.alone_above is not None:
            which = which[lengths[which] <= self.alone_above]
        group = np.searchsorted(np.array(self.edges, dtype=np.int64), lengths[which])
        return [which[group == number] for number in np.unique(group)[::-1]]

    def plan(self, lengths: np.ndarray, pieces: Iterable[int], budget: int) -> Iterator[np.ndarray]:
        """As `batches.plan`, without batches of pieces that must not meet."""
        which = np.fromiter(pieces, dtype=np.int64)
        if self.alone_above is not None:
            yield from plan(lengths, which[lengths[which] > self.alone_above], 1)
        for group in self.groups(lengths, which):
            yield from plan(lengths, group, budget)


ANY, ALONE = Company(), Company(alone_above=0)


def by_positions(config: Any) -> tuple[Company, bool]:
    """What a model's rotary embeddings ask for, and whether they remember the batch before.

    Those of kind ``longrope`` take other frequencies for a batch that is longer than the model was
    first trained on; ``dynamic`` ones make them anew for every longer batch, and keep them until a
    short one comes.

    Parameters
    ----------
    config
        Of the model, as transformers has it.
    """
    config = config.get_text_config(decoder=True)
    longest = getattr(config, "max_position_embeddings", None)
    before = getattr(config, "original_max_position_embeddings", None)
    edges: set[int] = set()
    above: int | None = None
    for part in _rotary_parts(config):
        kind = str(part.get("rope_type") or part.get("type") or "")
        original = part.get("original_max_position_embeddings") or before or longest
        if not isinstance(original, int):
            continue
        if kind in ("longrope", "su"):
            edges.add(original)
        elif "dynamic" in kind:
            above = min(n for n in (original, longest, above) if isinstance(n, int))
    kept = tuple(sorted(edge for edge in edges if above is None or edge < above))
    return Company(kept, above), above is not None


def rotary_kinds(config: Any) -> set[str]:
    """The kinds of rotary embeddings that a configuration names."""
    parts = _rotary_parts(config.get_text_config(decoder=True))
    kinds = {part.get("rope_type") or part.get("type") for part in parts}
    return {str(kind) for kind in kinds if kind is not None}


def _rotary_parts(config: Any) -> Iterator[Mapping[str, Any]]:
    for name in ("rope_parameters", "rope_scaling"):
        value = getattr(config, name, None)
        if isinstance(value, Mapping):
            yield value
            yield from (part for part in value.values() if isinstance(part, Mapping))


def proved(
    supposed: Company,
    config: Any,
    lengths: np.ndarray,
    budget: int,
    read: ReadTogether,
    precision: str,
) -> Company:
    """Company in which the model at hand gives each piece the value that it has alone.

    Where that is not so as supposed, pieces are kept apart by the lengths that the configuration
    names, and if that is of no use each goes alone.

    Parameters
    ----------
    supposed
        What is known of the model.
    lengths
        Tokens a piece.
    budget
        Tokens a batch.
    precision
        Whose arithmetic it is: how many nats a token (root mean square) rounding explains.
    """
    tolerance = EXACT if precision in ("float32", "float64") else ROUNDED
    for company in (supposed, *_apart(config, lengths)):
        if _holds(company, lengths, budget, read, tolerance):
            return company
    return ALONE


def _apart(config: Any, lengths: np.ndarray) -> Iterator[Company]:
    config = config.get_text_config(decoder=True)
    named = [getattr(config, name, None) for name in _LENGTHS]
    for edge in dict.fromkeys(n for n in named if isinstance(n, int)):
        if lengths.min() <= edge < lengths.max():
            yield Company((edge,))
            yield Company((), edge)


def _holds(
    company: Company, lengths: np.ndarray, budget: int, read: ReadTogether, tolerance: float
) -> bool:
    """Whether in each group long pieces and the shortest read alike alone and together."""
    for group in company.groups(lengths, range(len(lengths))):
        mates = _mates(lengths, group, budget)
        if len(mates) < 2:
            continue
        together = read(mates)
        for place in sorted({0, 1, len(mates) - 1}):
            if differ(together[place], read(mates[[place]])[0], tolerance):
                return False
    return True


def _mates(lengths: np.ndarray, group: np.ndarray, budget: int) -> np.ndarray:
    """The longest pieces that share a batch, few of them, with the shortest as the second."""
    shared = next((batch for batch in plan(lengths, group, budget) if len(batch) > 1), None)
    if shared is None:
        return np.empty(0, dtype=np.int64)
    rows = int(SHARE * lengths.sum() / lengths[shared[0]])
    longest = shared[: max(2, rows)]
    shortest = group[np.argmin(lengths[group])]
    if shortest in longest:
        return longest
    return np.array([longest[0], shortest, *longest[1:]], dtype=np.int64)


def differ(left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """Whether values differ by more than `tolerance` (root mean square) where both are finite."""
    finite = np.isfinite(left) & np.isfinite(right)
    if not finite.any():
        return False  # what overflows is dealt with where it is scored
    return bool(np.sqrt(np.mean((left[finite] - right[finite]) ** 2)) > tolerance)
