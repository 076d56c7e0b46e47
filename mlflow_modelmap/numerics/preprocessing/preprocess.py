"""Numerics: what is left out, clipped and dropped before trajectories are compared (Appendix E.1).

Each step can be done alone; `preprocess` does them in the paper's order and records what it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.clipping import CLIP, clip_bottom
from mlflow_modelmap.numerics.preprocessing.irregular_texts import (
    DROP_TEXTS,
    TextScores,
    consecutive,
    irregular,
    text_scores,
    worst_first,
)
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory


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

    Parameters
    ----------
    matrix
        K points.
    given
        Trajectories with rows of `matrix`.
    leave_out
        Names of points.

    Returns
    -------
    matrix, trajectories
        Of what is left; trajectories of which nothing is left are gone.

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
