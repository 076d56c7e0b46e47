"""Numerics: whole trainings that end up far from their siblings, other seeds of the same model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlflow_modelmap.numerics.trajectory.anomalies import MAD

SIBLING_THRESHOLD = 5.0

SIBLING_RATIO = 1.25

FEWEST_SIBLINGS = 3

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
        `kl_along.kl_between`'s table: KL in bits/byte of each pair at each step.
    families
        From each trajectory to its family; families of fewer than 3 are not judged.

    Returns
    -------
    DataFrame
        One row a trajectory that has siblings: ``family``, ``trajectory``, ``step_from``,
        ``step`` (the steps looked at), ``kl_to_siblings`` (at the last of them, the lower median
        over siblings), ``times_usual`` (the median, over steps, of its ratio to the family's
        median), ``score`` (its log over 1.4826 times the family's median absolute one) and
        ``outlier``: a score of 5 or more and at least 1.25 times the usual.
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
        scale = max(MAD * float(np.median(np.abs(centred))), _LEAST_SIBLING_SCALE)
        frame = pd.DataFrame(
            {
                "family": family,
                "trajectory": names,
                "step_from": int(steps[usable[0]]),
                "step": int(steps[usable[-1]]),
                "kl_to_siblings": distance[-1],
                "times_usual": np.exp(centred),
                "score": centred / scale,
            }
        )
        frame["outlier"] = (frame["score"] >= SIBLING_THRESHOLD) & (
            frame["times_usual"] >= SIBLING_RATIO
        )
        frames.append(frame)
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame(columns=[*columns, "score", "outlier"])


def _to_siblings(pairs: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Lower median of the KL divergences of each trajectory from its siblings."""
    index = {name: k for k, name in enumerate(names)}
    table = np.full((len(names), len(names)), np.nan)
    i = pairs["trajectory"].map(index).to_numpy()
    j = pairs["other"].map(index).to_numpy()
    table[i, j] = pairs["kl"]
    table[j, i] = pairs["kl"]
    return np.sort(table, axis=1)[:, (len(names) - 2) // 2]
