"""Numerics: whole trainings that end up far from their siblings, other seeds of the same model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

SIBLING_CHANCE = 0.05
"""Chance at most that a family without outliers has one, if logs of distances are normal."""

SIBLING_RATIO = 1.25

FEWEST_SIBLINGS = 5

_LEAST_SIBLING_SCALE = 0.05
_LAST_SHARE = 0.25
"""The last so much of the steps that all siblings have is looked at, at least the final one."""


def sibling_anomalies(
    between: pd.DataFrame,
    families: Mapping[str, str],
) -> pd.DataFrame:
    """Trainings that ended up far from their siblings: other seeds of the same model (Figure 15).

    Parameters
    ----------
    between
        `kl_along.kl_between`'s table: KL in bits/byte of each pair at each step, and its standard
        error in the column ``se``, if that is there.
    families
        From each trajectory to its family; families of fewer than 5 are not judged.

    Returns
    -------
    DataFrame
        One row a trajectory that has siblings: ``family``, ``trajectory``, ``step_from``,
        ``step`` (the steps looked at), ``kl_to_siblings`` (at the last of them, the lower median
        over siblings), ``times_usual`` (the median, over steps, of its ratio to the family's
        median), ``score`` (its log less the mean log of the siblings that are no outliers, over
        the standard deviation of that difference) and ``outlier``: found by `outlying` and at
        least 1.25 times the usual.
    """
    columns = ["family", "trajectory", "step_from", "step", "kl_to_siblings", "times_usual"]
    frames = []
    members: dict[str, list[str]] = {}
    for trajectory, family in families.items():
        members.setdefault(family, []).append(trajectory)
    for family, names in members.items():
        if len(names) < FEWEST_SIBLINGS:
            continue
        own = between[between["trajectory"].isin(names) & between["other"].isin(names)]
        counts = own.groupby("step").size()
        steps = counts.index[counts == len(names) * (len(names) - 1) // 2].to_numpy()
        steps = steps[-max(1, round(_LAST_SHARE * steps.size)) :] if steps.size else steps
        values = [_to_siblings(own[own["step"] == step], names) for step in steps]
        usable = [k for k, row in enumerate(values) if (row > 0).all()]
        if not usable:
            continue
        distance = np.array([values[k] for k in usable])
        logs = np.log(distance)
        centred = np.median(logs - np.median(logs, axis=1, keepdims=True), axis=0)
        centred -= np.median(centred)
        score, found = outlying(centred, _relative_errors(own, names, steps[usable]))
        frame = pd.DataFrame(
            {
                "family": family,
                "trajectory": names,
                "step_from": int(steps[usable[0]]),
                "step": int(steps[usable[-1]]),
                "kl_to_siblings": distance[-1],
                "times_usual": np.exp(centred),
                "score": score,
            }
        )
        frame["outlier"] = found & (frame["times_usual"] >= SIBLING_RATIO)
        frames.append(frame)
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame(columns=[*columns, "score", "outlier"])


def outlying(logs: ArrayLike, errors: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Which few of some values lie far above the others (Rosner's generalised ESD test).

    Parameters
    ----------
    logs
        Logs of distances, shape (k,), k >= 5.
    errors
        Their standard errors over the choice of texts, shape (k,); None for none.

    Returns
    -------
    score, found : ndarray, shape (k,)
        The studentised deviation of each from the mean of those that are not found, and which are.

    Notes
    -----
    The largest value is taken out again and again, at most (k - 3) / 2 times. As many are found as
    the last one of them is extreme among those left with it, by a one-sided t test at 5 % over
    their number. A standard deviation below 0.05 counts as 0.05, and one below the value's own
    error as that: a distance that few texts carry is no evidence.
    """
    values = np.asarray(logs, dtype=np.float64)
    own = np.zeros(values.size) if errors is None else np.asarray(errors, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    count = 0
    for removed in range((values.size - 3) // 2):
        others = values[order[removed + 1 :]]
        left = others.size + 1
        studentised = _studentised(values[order[removed]], others, own[order[removed]])
        if studentised >= stats.t.isf(SIBLING_CHANCE / left, left - 2):
            count = removed + 1
    found = np.zeros(values.size, dtype=bool)
    found[order[:count]] = True
    kept = np.flatnonzero(~found)
    score = [_studentised(value, values[kept[kept != k]], own[k]) for k, value in enumerate(values)]
    return np.array(score), found


def _studentised(value: float, others: np.ndarray, error: float) -> float:
    deviation = max(float(others.std(ddof=1)), _LEAST_SIBLING_SCALE)
    return float((value - others.mean()) / max(deviation * np.sqrt(1.0 + 1.0 / others.size), error))


def _relative_errors(pairs: pd.DataFrame, names: list[str], steps: np.ndarray) -> np.ndarray:
    """SE / KL of each trajectory from its siblings, the median over siblings and steps."""
    if "se" not in pairs:
        return np.zeros(len(names))
    late = pairs[pairs["step"].isin(steps) & (pairs["kl"] > 0)]
    relative = late["se"] / late["kl"]
    return np.array(
        [relative[(late["trajectory"] == n) | (late["other"] == n)].median() for n in names]
    )


def _to_siblings(pairs: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Lower median of the KL divergences of each trajectory from its siblings."""
    index = {name: k for k, name in enumerate(names)}
    table = np.full((len(names), len(names)), np.nan)
    i = pairs["trajectory"].map(index).to_numpy()
    j = pairs["other"].map(index).to_numpy()
    table[i, j] = pairs["kl"]
    table[j, i] = pairs["kl"]
    return np.sort(table, axis=1)[:, (len(names) - 2) // 2]
