"""Driver: checkpoints and trainings that break continuity - found, flagged, and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mlflow_modelmap.drivers.trajectory.selection import WeightTables
from mlflow_modelmap.numerics.diffusion.tables import Q, W
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.scale.pair_groups import seed_family
from mlflow_modelmap.numerics.trajectory.anomalies import (
    ANOMALY_COLUMNS,
    anomaly_in_words,
    checkpoint_anomalies,
    continuity,
)
from mlflow_modelmap.numerics.trajectory.distance_tables import squared_distances
from mlflow_modelmap.numerics.trajectory.kl_along import kl_between
from mlflow_modelmap.numerics.trajectory.sibling_anomalies import sibling_anomalies
from mlflow_modelmap.numerics.trajectory.spacing import most_common_gap
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.listed import listed

_NEAR = 7
"""Distances this many spacings apart are enough to judge continuity."""


@dataclass(frozen=True, eq=False)
class Found:
    """What breaks continuity, and the evidence; see `numerics.trajectory.anomalies`.

    Attributes
    ----------
    anomalies, continuity
        With the columns ``trajectory`` and ``space`` (q or w) before those of the numerics.
    siblings
        Of trainings that differ in their seed alone.
    """

    anomalies: pd.DataFrame
    continuity: pd.DataFrame
    siblings: pd.DataFrame

    def flagged(self, given: Sequence[Trajectory], points: Sequence[str]) -> dict[str, str]:
        """The flagged points by name, each with why."""
        why: dict[str, str] = {}
        of = {t.name: t for t in given}
        for row in self.anomalies.itertuples():
            t = of[row.trajectory]
            what = "KL" if row.space == Q else "weight distance"
            inside = (t.steps >= row.step) & (t.steps <= row.step_last)
            for at in t.rows[inside]:
                said = anomaly_in_words(row.kind, row.times_trend, row.score, what)
                why[points[at]] = "; ".join(filter(None, (why.get(points[at]), said)))
        for row in self.siblings[self.siblings["outlier"].astype(bool)].itertuples():
            said = (
                f"trajectory: ends {row.times_usual:.1f} times as far from its siblings as usual "
                f"(score {row.score:.1f})"
            )
            for at in of[row.trajectory].rows:
                why[points[at]] = "; ".join(filter(None, (why.get(points[at]), said)))
        return why

    def damaged(self, given: Sequence[Trajectory], points: Sequence[str]) -> list[str]:
        """The points to leave out: damaged checkpoints, spikes and outlying trainings."""
        of = {t.name: t for t in given}
        gone: set[str] = set()
        for row in self.anomalies.itertuples():
            if row.kind in ("checkpoint", "spike"):
                t = of[row.trajectory]
                inside = (t.steps >= row.step) & (t.steps <= row.step_last)
                gone.update(points[at] for at in t.rows[inside])
        for name in self.siblings.loc[self.siblings["outlier"].astype(bool), "trajectory"]:
            gone.update(points[at] for at in of[name].rows)
        return [point for point in points if point in gone]


def find_anomalies(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    weight_tables: WeightTables,
    warm_up: int,
) -> Found:
    """Checkpoints and trainings that break continuity, in q and in the weights.

    Of a matrix that is clipped and without its irregular texts, whose noise would hide much.
    """
    q = coordinates(matrix)
    anomalies, lines = [], []
    for t in given:
        reach = _NEAR * most_common_gap(t.gaps) if t.gaps.size else 0
        tables = [(Q, t.steps, squared_distances(q, t, reach))]
        if t.name in weight_tables:
            tables.append((W, *weight_tables[t.name]))
        for space, steps, table in tables:
            label = {"trajectory": t.name, "space": space}
            anomalies.append(checkpoint_anomalies(steps, table, warm_up).assign(**label))
            lines.append(continuity(steps, table, warm_up).assign(**label))
    families = {t.name: seed_family(t.name) for t in given}
    related = [t for t in given if list(families.values()).count(families[t.name]) > 1]
    between = kl_between(q, related, shares=matrix.sampling) if related else None
    siblings = (
        sibling_anomalies(between, {t.name: families[t.name] for t in related})
        if between is not None
        else sibling_anomalies(pd.DataFrame(columns=["step", "trajectory", "other", "kl"]), {})
    )
    return Found(
        joined(anomalies, ("trajectory", "space", *ANOMALY_COLUMNS)),
        joined(lines, ("trajectory", "space", "step_from", "step", "distance", "trend", "score")),
        siblings,
    )


def points_to_leave_out(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    found: Found,
    leave_out: Sequence[str],
    by_detection: bool,
    notices: list[str],
) -> list[str]:
    """Names of the points that are left out, as asked and as found.

    Parameters
    ----------
    leave_out
        Names of points or of whole trajectories.
    by_detection
        Whether damaged ones go as well; if not, they are named among the notices.
    """
    damaged = found.damaged(given, matrix.points)
    of = {t.name: [matrix.points[row] for row in t.rows] for t in given}
    asked = [point for name in leave_out for point in of.get(name, [name])]
    gone = list(dict.fromkeys([*asked, *(damaged if by_detection else ())]))
    if by_detection and damaged:
        notices.append(f"Left out as anomalies: {_named(damaged, of)}.")
    remaining = [point for point in damaged if point not in set(gone)]
    if remaining:
        notices.append(
            f"{len(remaining)} checkpoints break continuity or belong to an outlying training "
            f"({listed(remaining)}); they were kept: look at anomalies.csv, and leave them out by "
            "name or by detection."
        )
    # A training of which one good checkpoint would be left is left out as a whole.
    for names in of.values():
        left = [point for point in names if point not in set(gone)]
        if by_detection and len(left) == 1:
            gone += left
            notices.append(f"Left out with the rest of its trajectory: {left[0]}.")
    return gone


def _named(points: Sequence[str], of: Mapping[str, Sequence[str]]) -> str:
    """All of these points by name, whole trajectories by theirs."""
    gone = set(points)
    whole = {name: own for name, own in of.items() if own and gone.issuperset(own)}
    inside = {point for own in whole.values() for point in own}
    named = [f"all {len(own)} checkpoints of {name}" for name, own in whole.items()]
    return ", ".join([*named, *(point for point in points if point not in inside)])


def flagged_runs(
    found: Found,
    given: Sequence[Trajectory],
    matrix: LogLikelihoodMatrix,
    points: Sequence[Point],
) -> dict[str, str]:
    """Why each flagged run is, by run id; a run of many points says it of each of them."""
    why = found.flagged(given, matrix.points)
    said: dict[str, list[str]] = {}
    for p in points:
        if p.name in why:
            of = p.name if p.imported else f"step {p.step}"
            at = f"{of}: " if p.one_of_many else ""
            said.setdefault(p.run_id, []).append(at + why[p.name])
    return {run_id: "; ".join(reasons) for run_id, reasons in said.items()}


def joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables below each other with these columns, which are there also if no row is."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(filled, ignore_index=True)[list(columns)]
