"""Numerics: checkpoints that break the continuity of their training, with the evidence.

A checkpoint was damaged if it is far from both neighbours while they are near each other; a loss
spike is the same over a few checkpoints. Everything is judged on logs, against a local trend, by
medians, so that the faults themselves do not hide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError

THRESHOLD = 6.0
"""Robust standard deviations above the trend, at least."""

FAMILY_WISE = 0.01
"""Chance that a trajectory without faults has a distance above its threshold."""

LEAST_RATIO = 1.5
"""Times above the trend, and above the distance across, that count at all."""

JUMP_RATIO = 2.0

LONGEST = 5
"""Checkpoints of a spike, at most."""

FEWEST_INTERVALS = 7

_NEAREST = 11

_LEAST_SCALE = 0.03

MAD = 1.4826
"""Standard deviations a median absolute deviation, of normal values."""

ANOMALY_COLUMNS = (
    "kind",
    "step",
    "step_last",
    "score",
    "times_trend",
    "step_before",
    "step_after",
    "before",
    "after",
    "across",
    "threshold",
)


class _Found(NamedTuple):
    """An anomaly by positions of its first, last and bordering checkpoints."""

    begin: int
    last: int
    before: int
    after: int
    kind: str
    score: float
    times: float
    threshold: float


class _Score(NamedTuple):
    """Of a distance: its score, and how many times the trend it is."""

    score: float
    times: float


def anomaly_in_words(kind: str, times_trend: float, score: float, what: str = "KL") -> str:
    """An anomaly of `checkpoint_anomalies` with its evidence, as tags and warnings say it.

    Parameters
    ----------
    kind, times_trend, score
        Of a row of its table.
    what
        What the distances are.
    """
    if kind == "identical":
        return f"identical: no {what} from the step before"
    return f"{kind}: {times_trend:.1f} times the expected {what} (robust score {score:.1f})"


def continuity(steps: ArrayLike, table: ArrayLike, first: float = 0.0) -> pd.DataFrame:
    """Each distance between neighbouring checkpoints against its local trend.

    Parameters
    ----------
    steps
        Training steps, ascending, shape (n,).
    table
        Squared distances (KL, or weights), shape (n, n), NaN where unknown.
    first
        Intervals that begin before it (warm-up) are left out.

    Returns
    -------
    DataFrame
        Columns ``step_from``, ``step``, ``distance``, ``trend`` (what is expected for that many
        steps at that time), ``score``: the log of their ratio over 1.4826 times the median
        absolute one of the trajectory. The trend is a repeated-median line through the logs of
        the 11 nearest distances against the log of the step, each brought to the usual spacing by
        the exponent with which distances grow. Unknown distances and those of 0 are left out;
        with fewer than 7 the table is empty.

    Raises
    ------
    InputError
        If the table does not fit the steps.
    """
    steps, table = _checked(steps, table)
    n = len(steps)
    at = np.arange(n - 1)
    distance = table[at, at + 1]
    keep = (steps[:-1] >= first) & (distance > 0)
    at, distance = at[keep], distance[keep]
    columns = ["step_from", "step", "distance", "trend", "score"]
    if at.size < FEWEST_INTERVALS:
        return pd.DataFrame(columns=columns, dtype=float).astype({"step_from": int, "step": int})
    gap = steps[at + 1] - steps[at]
    growth = growth_exponent(steps, table, first)
    shift = growth * np.log(gap / np.median(gap))
    y = np.log(distance) - shift
    x = np.log((steps[at] + steps[at + 1]) / 2.0)
    trend = _local_lines(x, y)
    residual = y - trend
    scale = max(MAD * float(np.median(np.abs(residual))), _LEAST_SCALE)
    return pd.DataFrame(
        {
            "step_from": steps[at],
            "step": steps[at + 1],
            "distance": distance,
            "trend": np.exp(trend + shift),
            "score": residual / scale,
        }
    )


def tail_threshold(residuals: ArrayLike, *, side_by_side: int = 1) -> float:
    """What none of so many residuals passes by chance, by the tail of the residuals themselves.

    Parameters
    ----------
    residuals
        Logs of distances over their trend, shape (n,), n >= 2.
    side_by_side
        How many of them must pass it together: 1 for a jump, 2 for a distance into a checkpoint and
        the one out of it.

    Notes
    -----
    The upper residuals are taken for an exponential tail: such are the logs of distances whose
    steps are as heavy-tailed as a Student t, and lighter ones lie below it. Of k residuals in the
    tail the r lowest excesses are used, as if the others had been censored (Epstein and Sobel,
    1953), so that faults, which lie there, do not hide themselves. The chance that one residual
    passes t mean excesses is then (k / n) (1 + t / r)^-r, and that one in n does, or two neighbours
    do, is set to 1 %. For single ones, which lie further out, k is the upper quarter but at most
    20 + n / 50; for two the upper third.
    """
    ordered = np.sort(np.asarray(residuals, dtype=np.float64))
    n = ordered.size
    if side_by_side == 1:
        tail = max(min(n // 4, 20 + n // 50), 2)
        seen = max(round(0.6 * tail), 1)
    else:
        tail = max(n // 3, 2)
        seen = max(tail // 2, 1)
    tail, seen = min(tail, n - 1), min(seen, n - 1)
    begin = ordered[-tail - 1]
    excess = ordered[-tail:] - begin
    mean = (excess[:seen].sum() + (tail - seen) * excess[seen - 1]) / seen
    odds = tail / n * (n / FAMILY_WISE) ** (1.0 / side_by_side)
    return float(begin + mean * seen * max(odds ** (1.0 / seen) - 1.0, 0.0))


def growth_exponent(steps: ArrayLike, table: ArrayLike, first: float = 0.0) -> float:
    """c in distance ~ steps^c between near checkpoints: the median over evenly spaced triples.

    Parameters
    ----------
    steps, table, first
        As for `continuity`.

    Returns
    -------
    float
        Between 0 and 2; 1 where there is no such triple.

    Raises
    ------
    InputError
        If the table does not fit the steps.
    """
    steps, table = _checked(steps, table)
    at = np.arange(len(steps) - 2)
    even = (np.diff(steps)[:-1] == np.diff(steps)[1:]) & (steps[:-2] >= first)
    at = at[even]
    one = (table[at, at + 1] + table[at + 1, at + 2]) / 2.0
    two = table[at, at + 2]
    known = (one > 0) & (two > 0)
    if not known.any():
        return 1.0
    return float(np.clip(np.median(np.log2(two[known] / one[known])), 0.0, 2.0))


def checkpoint_anomalies(
    steps: ArrayLike,
    table: ArrayLike,
    first: float = 0.0,
) -> pd.DataFrame:
    """Checkpoints that break the continuity of one trajectory.

    Parameters
    ----------
    steps, table, first
        As for `continuity`.
    Returns
    -------
    DataFrame
        One row an anomaly, in order of step. ``kind`` is

        - ``checkpoint``: far from both neighbours, which are near each other: the one at ``step``;
        - ``spike``: the same for the checkpoints from ``step`` to ``step_last`` (at most 5);
        - ``jump``: a distance into ``step`` at least twice the trend, and 1.5 times the distance
          before it, that is not taken back: a change of regime, or a fault of the last checkpoint,
          which nothing after it can tell. The first distance after warm-up is none: training may
          well begin faster than the trend;
        - ``identical``: no distance at all from the checkpoint before.

        ``score`` and ``times_trend`` are those of the smaller of the distances ``before`` (from
        ``step_before``) and ``after`` (to ``step_after``); ``across`` is the distance between
        those two, ``threshold`` the score that had to be reached.

    Raises
    ------
    InputError
        If the table does not fit the steps.

    Notes
    -----
    A distance is high at a score of 6 or more, and above the `tail_threshold` of the trajectory's
    own scores, so that heavy-tailed steps raise hardly an alarm: of clean trajectories of 20 to
    1,000 checkpoints 0 to 2 % have a false one (steps that are normal, log-normal of kurtosis 8
    and 58, or Student t with 5 degrees up to 142 checkpoints; 12 % of those of 1,000).
    ``benchmarks/coverage_anomalies.py`` measures these rates and how many faults are
    found, and docs/trajectories.md has the table.
    """
    steps, table = _checked(steps, table)
    nan = float("nan")
    end = len(steps) - 1
    found = [
        _Found(k, k, k - 1, min(k + 1, end), "identical", nan, 0.0, nan)
        for k in range(1, len(steps))
        if steps[k - 1] >= first and table[k - 1, k] == 0
    ]
    scores = continuity(steps, table, first)
    of = {
        int(np.searchsorted(steps, row.step_from)): _Score(row.score, row.distance / row.trend)
        for row in scores.itertuples()
    }
    together = _threshold(of, side_by_side=2)
    high = {k for k, one in of.items() if one.score >= together and one.times >= LEAST_RATIO}
    explained: set[int] = set()
    for length in range(1, LONGEST + 1):
        for entry in sorted(high):
            leave = entry + length
            if leave not in high or explained & set(range(entry, leave + 1)):
                continue
            across = table[entry, leave + 1]
            least = min(table[entry, entry + 1], table[leave, leave + 1])
            if np.isfinite(across) and least >= LEAST_RATIO * across:
                explained |= set(range(entry, leave + 1))
                kind = "checkpoint" if length == 1 else "spike"
                less = min(of[entry], of[leave])
                found.append(_Found(entry + 1, leave, entry, leave + 1, kind, *less, together))
    left = {k: one for k, one in of.items() if k not in explained}
    alone = _threshold(left, side_by_side=1)
    for entry, (score, times) in sorted(left.items()):
        before = of[entry - 1].times if entry - 1 in of else nan
        if score >= alone and times >= JUMP_RATIO and times >= LEAST_RATIO * before:
            after = min(entry + 2, end)
            found.append(_Found(entry + 1, entry + 1, entry, after, "jump", score, times, alone))
    return pd.DataFrame(
        [
            (
                a.kind,
                steps[a.begin],
                steps[a.last],
                a.score,
                a.times,
                steps[a.before],
                steps[a.after],
                table[a.before, a.begin],
                table[a.last, a.after] if a.after != a.last else nan,
                table[a.before, a.after] if a.after != a.last else nan,
                a.threshold,
            )
            for a in sorted(found)
        ],
        columns=list(ANOMALY_COLUMNS),
    )


def _threshold(scores: Mapping[int, _Score], side_by_side: int) -> float:
    """The score that a distance must have; infinite where there are too few to judge."""
    if len(scores) < 2:
        return float("inf")
    own = np.array([s.score for s in scores.values()])
    return max(THRESHOLD, tail_threshold(own, side_by_side=side_by_side))


def _local_lines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """At each x the value of a repeated-median line through the nearest points."""
    size = min(_NEAREST, x.size)
    starts = np.clip(np.arange(x.size) - size // 2, 0, x.size - size)
    near = starts[:, None] + np.arange(size)
    at, values = x[near] - x[:, None], y[near]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (values[:, :, None] - values[:, None, :]) / (at[:, :, None] - at[:, None, :])
    others = ~np.eye(size, dtype=bool)
    of_each = np.median(slopes[:, others].reshape(x.size, size, size - 1), axis=2)
    slope = np.median(of_each, axis=1)
    return np.median(values - slope[:, None] * at, axis=1)


def _checked(steps: ArrayLike, table: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    steps = np.asarray(steps, dtype=np.int64)
    table = np.asarray(table, dtype=np.float64)
    if table.shape != (steps.size, steps.size):
        raise InputError(f"Distances of shape {table.shape} do not fit {steps.size} steps.")
    return steps, table
