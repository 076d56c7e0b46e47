"""Numerics: what is left out, clipped and dropped before trajectories are compared (Appendix E.1).

Each step can be done alone; `preprocess` does them in the paper's order and records what it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

CLIP = 0.02
DROP_TEXTS = 0.03
REMOVED = (10, *range(100, 1001, 100))
"""Numbers of removed texts in the paper's Figure 13."""


class TextScores(NamedTuple):
    """How irregularly each text's log-likelihood moves, in nats, shape (N,).

    ``maximum`` and ``sd`` are the largest and the standard deviation of the absolute differences
    between consecutive checkpoints; ``pairs`` is how many there were.
    """

    maximum: np.ndarray
    sd: np.ndarray
    pairs: int


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """A preprocessed matrix, and the record of what was done to it.

    Attributes
    ----------
    matrix
        What is left, clipped.
    trajectories
        With the rows of `matrix`.
    left_out
        Names of the points that were left out.
    clip, clip_value, clipped
        The quantile (or None), its value in nats, and how many log-likelihoods were raised to it.
    warm_up
        First step whose checkpoints count for the texts' scores.
    scores
        Of all N texts before any was dropped, or None where texts were not scored.
    drop_texts
        The share of texts that was to be dropped, or None.
    dropped
        Numbers of the dropped texts, the worst first.
    kept
        Mask over all N texts.
    mean_bytes_before, mean_bytes
        B of all texts, and of the kept ones.
    """

    matrix: LogLikelihoodMatrix
    trajectories: list[Trajectory]
    left_out: tuple[str, ...]
    clip: float | None
    clip_value: float | None
    clipped: int
    warm_up: int
    scores: TextScores | None
    drop_texts: float | None
    dropped: np.ndarray
    kept: np.ndarray
    mean_bytes_before: float

    @property
    def mean_bytes(self) -> float:
        return self.matrix.mean_bytes

    def record(self) -> dict[str, object]:
        """Plain values that say what was done, for a run's params."""
        return {
            "preprocessing.left_out": list(self.left_out),
            "preprocessing.clip_quantile": self.clip,
            "preprocessing.clip_value": self.clip_value,
            "preprocessing.clipped_values": self.clipped,
            "preprocessing.warm_up": self.warm_up,
            "preprocessing.drop_texts": self.drop_texts,
            "preprocessing.dropped_texts": int(self.dropped.size),
            "preprocessing.mean_bytes_before": self.mean_bytes_before,
            "preprocessing.mean_bytes": self.mean_bytes,
        }

    def text_table(self) -> pd.DataFrame:
        """One row a text, the worst first: ``text``, ``maximum``, ``sd`` (nats), ``dropped``."""
        if self.scores is None:
            return pd.DataFrame({"text": [], "maximum": [], "sd": [], "dropped": []}).astype(
                {"text": int, "maximum": float, "sd": float, "dropped": bool}
            )
        order = worst_first(self.scores.maximum)
        return pd.DataFrame(
            {
                "text": order,
                "maximum": self.scores.maximum[order],
                "sd": self.scores.sd[order],
                "dropped": ~self.kept[order],
            }
        )


def preprocess(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    *,
    leave_out: Sequence[str] = (),
    clip: float | None = CLIP,
    drop_texts: float | None = DROP_TEXTS,
    warm_up: int = 2_000,
) -> Preprocessed:
    """Leave out points, clip the matrix, score the texts and drop the worst (Appendix E.1).

    Parameters
    ----------
    matrix
        Log-likelihoods in nats of K checkpoints on N texts.
    given
        The trajectories, with rows of `matrix`.
    leave_out
        Names of points.
    clip
        Quantile of all that is left, below which log-likelihoods are raised to it; None for none.
    drop_texts
        Share of the texts (of their weights, if they have any) to drop, those with the largest
        changes between consecutive checkpoints; None for none.
    warm_up
        First step from which on changes count.

    Returns
    -------
    Preprocessed
        Points outside any trajectory stay in its matrix.

    Raises
    ------
    InputError
        If a share is not between 0 and 1, a point to leave out is not there, a trajectory would
        keep fewer than two checkpoints, or texts are to be dropped and no two consecutive
        checkpoints come after warm-up.
    """
    for what, share in (("quantile to clip at", clip), ("share of texts to drop", drop_texts)):
        if share is not None and not 0.0 <= share < 1.0:
            raise InputError(f"The {what} is {share}; give a number from 0 to below 1.")
    kept_matrix, kept_trajectories = without_points(matrix, given, leave_out)
    clipped_matrix, value, count = (
        clip_bottom(kept_matrix, clip) if clip else (kept_matrix, None, 0)
    )
    scores = None
    dropped = np.empty(0, dtype=np.intp)
    kept = np.ones(matrix.values.shape[1], dtype=bool)
    out = set(leave_out)
    pairs = consecutive(given, warm_up, {i for i, p in enumerate(matrix.points) if p in out})
    if pairs[0].size:
        new_row = np.cumsum([p not in out for p in matrix.points]) - 1
        scores = text_scores(clipped_matrix.values, (new_row[pairs[0]], new_row[pairs[1]]))
    elif drop_texts:
        raise InputError(
            f"No two consecutive checkpoints come at or after step {warm_up}, so no text can be "
            "scored for irregular changes; lower the warm-up or drop no texts."
        )
    if drop_texts and scores is not None:
        dropped = irregular(scores.maximum, drop_texts, clipped_matrix.shares)
        kept[dropped] = False
    return Preprocessed(
        matrix=clipped_matrix.keep_texts(kept) if dropped.size else clipped_matrix,
        trajectories=kept_trajectories,
        left_out=tuple(p for p in matrix.points if p in out),
        clip=clip or None,
        clip_value=value,
        clipped=count,
        warm_up=warm_up,
        scores=scores,
        drop_texts=drop_texts or None,
        dropped=dropped,
        kept=kept,
        mean_bytes_before=matrix.mean_bytes,
    )


def without_points(
    matrix: LogLikelihoodMatrix, given: Sequence[Trajectory], leave_out: Sequence[str]
) -> tuple[LogLikelihoodMatrix, list[Trajectory]]:
    """The matrix and the trajectories without some points.

    Raises
    ------
    InputError
        If a point is not there, or a trajectory would keep fewer than two checkpoints.
    """
    if not leave_out:
        return matrix, list(given)
    unknown = [name for name in leave_out if name not in matrix.points]
    if unknown:
        raise InputError(
            f"There is no point {unknown[0]!r} to leave out; points are named like "
            f"{matrix.points[0]!r}."
        )
    out = set(leave_out)
    keep = np.array([point not in out for point in matrix.points])
    new_row = np.cumsum(keep) - 1
    kept = []
    for t in given:
        mask = keep[t.rows]
        if not mask.any():
            continue
        if mask.sum() < 2:
            raise InputError(
                f"The trajectory {t.name!r} would keep one checkpoint only; leave it out as a "
                "whole, or keep two."
            )
        kept.append(Trajectory(t.name, t.steps[mask], new_row[t.rows[mask]]))
    if not kept:
        raise InputError("Every trajectory was left out; keep at least one.")
    return matrix.keep_points(keep), kept


def clip_bottom(
    matrix: LogLikelihoodMatrix, quantile: float = CLIP
) -> tuple[LogLikelihoodMatrix, float, int]:
    """Raise log-likelihoods below a quantile of all values to it.

    Each value counts with its text's weight, so that few weighted texts are clipped where the many
    that they stand for would be.

    Returns
    -------
    matrix, value, count
        The clipped matrix, the quantile's value in nats, and how many values were below it.
    """
    value = float(_quantile(matrix.values, quantile, matrix.shares))
    below = int(np.count_nonzero(matrix.values < value))
    return replace(matrix, values=np.maximum(matrix.values, value)), value, below


def _quantile(values: np.ndarray, quantile: float, shares: np.ndarray | None) -> np.floating:
    if shares is None:
        return np.quantile(values, quantile)
    order = np.argsort(values, axis=None)
    reached = np.cumsum(np.broadcast_to(shares, values.shape).ravel()[order])
    at = np.searchsorted(reached, quantile * reached[-1])
    return values.ravel()[order[min(at, order.size - 1)]]


def consecutive(
    given: Sequence[Trajectory], warm_up: int, left_out: set[int] | frozenset[int] = frozenset()
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of consecutive checkpoints at or after `warm_up`, neither of them left out.

    The neighbours of a checkpoint that was left out are not consecutive.
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
    """Numbers of the texts from the highest score to the lowest; equal ones in their order."""
    return np.argsort(-scores, kind="stable")


def irregular(scores: np.ndarray, drop: float, shares: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the texts to drop, the worst first: those that hold a share `drop` of all.

    Of weighted texts the share is one of their weights, so that as much of the population is
    dropped, whatever part of the sample stands for it.
    """
    order = worst_first(scores)
    if shares is None:
        return order[: round(drop * order.size)]
    own = shares[order]
    return order[np.cumsum(own) - own / 2.0 < drop]


def kl_after_removing(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    scores: np.ndarray,
    *,
    removed: Sequence[int] = REMOVED,
    from_step: int = 0,
) -> pd.DataFrame:
    """KL between consecutive checkpoints when more and more texts are removed (Figure 13).

    Parameters
    ----------
    matrix
        Clipped, with all texts.
    given
        Trajectories with rows of `matrix`.
    scores
        Of each text, shape (N,); the highest are removed first.
    removed
        How many; numbers that leave fewer than two texts are passed over.
    from_step
        Pairs before it are left out.

    Returns
    -------
    DataFrame
        Columns ``removed``, ``trajectory``, ``step_from``, ``step``, ``kl`` (bits/byte, each with
        the mean bytes of the texts that are left).
    """
    texts = matrix.values.shape[1]
    counts = [count for count in dict.fromkeys(removed) if 0 <= count <= texts - 2]
    order = worst_first(scores)[::-1]
    weight = np.ones(texts) if matrix.shares is None else matrix.shares[order]
    mass = np.cumsum(weight)
    size = np.cumsum(weight * matrix.text_bytes[order])
    frames = []
    for t in given:
        late = t.steps[:-1] >= from_step
        difference = matrix.values[t.rows[1:][late]] - matrix.values[t.rows[:-1][late]]
        difference -= difference.mean(axis=1, keepdims=True)
        difference = difference[:, order]
        total = np.cumsum(weight * difference, axis=1)
        squares = np.cumsum(weight * difference * difference, axis=1)
        for count in counts:
            last = texts - count - 1
            mean_bytes = size[last] / mass[last]
            variance = squares[:, last] / mass[last] - (total[:, last] / mass[last]) ** 2
            frames.append(
                pd.DataFrame(
                    {
                        "removed": count,
                        "trajectory": t.name,
                        "step_from": t.steps[:-1][late],
                        "step": t.steps[1:][late],
                        "kl": np.maximum(variance, 0.0) / (2.0 * mean_bytes * np.log(2.0)),
                    }
                )
            )
    columns = ["removed", "trajectory", "step_from", "step", "kl"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
