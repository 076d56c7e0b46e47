"""Scoring: some texts a second time, in other batches - so that only arithmetic differs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.scoring.accelerator.copies import Late
from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.engine.batches import Batch, make_batch, plan
from mlflow_modelmap.scoring.engine.prove import WHOLE
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.slices import slice_sizes
from mlflow_modelmap.scoring.settings import SecondPass


def second_pass(scorer: Scorer, wanted: int) -> SecondPass | None:
    """Score some texts again with the same model: in other batches, other company, other order.

    Parameters
    ----------
    scorer
        That has been through all texts; its own values stay as they are.
    wanted
        How many texts; they are spread over the lengths.

    Returns
    -------
    SecondPass or None
        None where fewer than two texts could be scored again, or texts go through the model one
        at a time because their company changes what is measured (LLM.int8 with outliers, experts
        with room for so many tokens).
    """
    if scorer.outliers:
        return None
    pieces, lengths = scorer.pieces, scorer.pieces.lengths
    groups = scorer.company.groups(lengths, range(len(pieces)))
    in_company = np.zeros(len(pieces))
    in_company[np.concatenate([np.empty(0, dtype=np.int64), *groups])] = 1
    usable = np.isfinite(scorer.values).all(axis=0)
    usable &= pieces.by_text(1 - in_company) == 0  # what goes alone has no other company
    budget = 1 if scorer.path.kind == WHOLE else scorer.budget
    chosen = spread(scorer.tokens.lengths, np.flatnonzero(usable), wanted)
    again = np.full(len(pieces), np.nan)
    for group in groups:
        found = np.flatnonzero(np.isin(group, pieces.of(chosen)))
        found = found[np.lexsort((group[found], lengths[group[found]]))]
        for places, count in plan_again(lengths[group], found, budget, scorer.body_tokens):
            batch = make_batch(pieces, group[places], pieces.firsts)
            values = None
            try:
                values = _at_once(scorer, batch)[-1]
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            if values is None:
                scorer.let_go()
                continue  # these few are not worth smaller batches
            again[group[places[:count]]] = values[:count]
    twice = pieces.by_text(again)
    texts = np.flatnonzero(np.isfinite(twice))
    return SecondPass(texts, twice[texts]) if len(texts) >= 2 else None


def _at_once(scorer: Scorer, batch: Batch) -> np.ndarray:
    """The values of a batch that is not read in slices, whatever went through the model before."""
    scorer.forget()
    sliced, scorer.body_tokens = scorer.body_tokens, None
    try:
        found = scorer.of_batch(batch)
    finally:
        scorer.body_tokens = sliced
    return found.sums() if isinstance(found, Late) else found


def spread(lengths: np.ndarray, candidates: np.ndarray, wanted: int) -> np.ndarray:
    """At most `wanted` of the candidates, at even ranks of length, the shortest first."""
    order = candidates[np.lexsort((candidates, lengths[candidates]))]
    if len(order) <= wanted:
        return order
    return order[np.linspace(0, len(order) - 1, wanted).round().astype(np.int64)]


def plan_again(
    lengths: np.ndarray,
    texts: Sequence[int] | np.ndarray,
    budget: int,
    body_tokens: int | None = None,
) -> list[tuple[np.ndarray, int]]:
    """Batches of half the tokens, shortest texts first, none with as many rows as a text of it had.

    How many rows are multiplied at once decides how sums are split, and so how they are rounded.
    A batch that would have as many as before repeats its first text at the end.

    Parameters
    ----------
    lengths
        Tokens of all texts.
    texts
        Those that are scored again, shortest first.
    budget
        Tokens a batch of the first pass.
    body_tokens
        Tokens that went through the body at once in it; None for whole batches. Those of the
        second pass do not go in slices.

    Returns
    -------
    list of (rows, count)
        Indices of texts, int64, and how many of them come first and count.
    """
    before = np.empty(len(lengths), dtype=np.int64)
    for batch in plan(lengths, range(len(lengths)), budget):
        sizes = slice_sizes(len(batch), int(lengths[batch[0]]), body_tokens)
        before[batch] = np.repeat(sizes, sizes)
    found: list[tuple[np.ndarray, int]] = []
    left = [int(text) for text in texts]
    while left:
        count = 1
        while count < len(left) and (count + 1) * lengths[left[count]] <= budget // 2:
            count += 1
        rows = left[:count]
        left = left[count:]
        taken = set(before[rows].tolist())
        rows += [rows[0]] * next(n for n in range(len(taken) + 1) if count + n not in taken)
        found.append((np.array(rows, dtype=np.int64), count))
    return found
