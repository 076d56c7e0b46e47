"""Scoring: some texts a second time, in other batches - so that only arithmetic differs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mlflow_modelmap.scoring.engine.batches import make_batch, plan
from mlflow_modelmap.scoring.engine.prove import WHOLE
from mlflow_modelmap.scoring.engine.scorer import Scorer, out_of_memory
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
        at a time because their company changes what is measured (LLM.int8 with outliers).
    """
    if scorer.outliers:
        return None
    lengths = scorer.tokens.lengths
    finite = np.flatnonzero(np.isfinite(scorer.values).all(axis=0))
    budget = 1 if scorer.path.kind == WHOLE else scorer.budget
    chosen, values = [], []
    for rows, count in plan_again(lengths, spread(lengths, finite, wanted), budget):
        batch = make_batch(scorer.tokens.ids, rows, scorer.tokens.first)
        try:
            again = scorer.of_batch(batch)[-1]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue  # these few are not worth smaller batches
        chosen.append(rows[:count])
        values.append(again[:count])
    texts = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
    twice = np.concatenate(values) if values else np.empty(0)
    order = np.argsort(texts)
    texts, twice = texts[order], twice[order]
    usable = np.isfinite(twice)
    if usable.sum() < 2:
        return None
    return SecondPass(texts[usable], twice[usable])


def spread(lengths: np.ndarray, candidates: np.ndarray, wanted: int) -> np.ndarray:
    """At most `wanted` of the candidates, at even ranks of length, the shortest first."""
    order = candidates[np.lexsort((candidates, lengths[candidates]))]
    if len(order) <= wanted:
        return order
    return order[np.linspace(0, len(order) - 1, wanted).round().astype(np.int64)]


def plan_again(
    lengths: np.ndarray, texts: Sequence[int] | np.ndarray, budget: int
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

    Returns
    -------
    list of (rows, count)
        Indices of texts, int64, and how many of them come first and count.
    """
    before = np.empty(len(lengths), dtype=np.int64)
    for batch in plan(lengths, range(len(lengths)), budget):
        before[batch] = len(batch)
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
