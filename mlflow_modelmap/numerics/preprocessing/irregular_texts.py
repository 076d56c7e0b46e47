"""Numerics: texts whose log-likelihood moves irregularly in training, and which to drop (E.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

DROP_TEXTS = 0.03


class TextScores(NamedTuple):
    """How irregularly each text's log-likelihood moves, in nats, shape (N,).

    ``maximum`` and ``sd`` are the largest and the standard deviation of the absolute differences
    between consecutive checkpoints; ``pairs`` is how many there were.
    """

    maximum: np.ndarray
    sd: np.ndarray
    pairs: int


def consecutive(
    given: Sequence[Trajectory], warm_up: int, left_out: set[int] | frozenset[int] = frozenset()
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of consecutive checkpoints at or after `warm_up`, neither of them left out.

    The neighbours of a checkpoint that was left out are not consecutive.

    Parameters
    ----------
    given
        Trajectories with rows of one matrix.
    warm_up
        Training step.
    left_out
        Rows.

    Returns
    -------
    first, second : ndarray of int, shape (P,)
        Rows of the earlier and the later checkpoint of each pair.
    """
    first, second = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    for t in given:
        gone = np.isin(t.rows, list(left_out))
        late = (t.steps[:-1] >= warm_up) & ~gone[:-1] & ~gone[1:]
        first.append(t.rows[:-1][late])
        second.append(t.rows[1:][late])
    return np.concatenate(first), np.concatenate(second)


def text_scores(values: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> TextScores:
    """Score each text by its absolute changes between pairs of checkpoints (Figure 12).

    Parameters
    ----------
    values
        Log-likelihoods in nats, shape (K, N).
    pairs
        Rows of the two checkpoints of each of P >= 1 pairs.

    Returns
    -------
    TextScores
        Nats, shape (N,).
    """
    texts = values.shape[1]
    maximum, total, squares = np.zeros(texts), np.zeros(texts), np.zeros(texts)
    # Sums around the first difference keep the digits of a text that always moves alike.
    origin = np.abs(values[pairs[1][0]] - values[pairs[0][0]])
    for i, j in zip(*pairs, strict=True):
        size = np.abs(values[j] - values[i])
        np.maximum(maximum, size, out=maximum)
        size -= origin
        total += size
        squares += size * size
    count = len(pairs[0])
    variance = squares / count - (total / count) ** 2
    return TextScores(maximum, np.sqrt(np.maximum(variance, 0.0)), count)


def worst_first(scores: np.ndarray) -> np.ndarray:
    """Numbers of the texts from the highest score to the lowest; equal ones in their order.

    Parameters
    ----------
    scores
        One a text, shape (N,).
    """
    return np.argsort(-scores, kind="stable")


def irregular(scores: np.ndarray, drop: float, shares: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the texts to drop, the worst first: those that hold a share `drop` of all.

    Of weighted texts the share is one of their weights, so that as much of the population is
    dropped, whatever part of the sample stands for it.

    Parameters
    ----------
    scores
        One a text, shape (N,).
    drop
        From 0 to below 1.
    shares
        Of the weights, shape (N,), their sum 1; None where all texts count alike.
    """
    order = worst_first(scores)
    if shares is None:
        return order[: round(drop * order.size)]
    own = shares[order]
    return order[np.cumsum(own) - own / 2.0 < drop]
