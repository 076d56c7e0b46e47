"""Driver: everything that is measured on trajectories, from a matrix and its points to tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import FEWEST
from mlflow_modelmap.numerics.diffusion.tables import EXP_Q, Q, W
from mlflow_modelmap.numerics.diffusion.windows import check_window, sliding_exponents, windows
from mlflow_modelmap.numerics.matrix.coordinates import coordinates, exponential
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.scale.pair_groups import seed_family
from mlflow_modelmap.numerics.trajectory.anomalies import (
    ANOMALY_COLUMNS,
    anomaly_in_words,
    checkpoint_anomalies,
    continuity,
)
from mlflow_modelmap.numerics.trajectory.distance_tables import distance_table, squared_distances
from mlflow_modelmap.numerics.trajectory.kl_along import kl_between
from mlflow_modelmap.numerics.trajectory.sibling_anomalies import sibling_anomalies
from mlflow_modelmap.numerics.trajectory.spacing import default_warm_up, usual_spacing
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory, trajectories
from mlflow_modelmap.tracking.runs.select_runs import Point
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.natural_order import natural

WINDOW_CHECKPOINTS = 10
_NEAR = 7
"""Distances this many spacings apart are enough to judge continuity."""

Weights = dict[str, tuple[np.ndarray, np.ndarray]]
"""For each trajectory its steps and its table of squared distances, NaN where unknown."""


@dataclass(frozen=True, eq=False)
class Found:
    """What breaks continuity, and the evidence."""

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
                f"(robust score {row.score:.1f})"
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


def select_checkpoints(
    matrix: LogLikelihoodMatrix, points: Sequence[Point], notices: list[str]
) -> tuple[LogLikelihoodMatrix, list[Point], list[Trajectory]]:
    """Those points that stand on a trajectory, and the trajectories.

    A trajectory scored in several precisions is one for each; those with a single checkpoint, and
    points without trajectory or step, are left out with a notice.

    Raises
    ------
    InputError
        If nothing is left, or a step occurs twice.
    """
    without = [p.name for p in points if p.trajectory is None or p.step is None]
    on = [k for k, p in enumerate(points) if p.trajectory is not None and p.step is not None]
    if not on:
        raise InputError(
            f"None of the {len(points)} selected runs has both a trajectory and a step; score "
            "checkpoints with `--trajectory` and `--step`, or set the tags modelmap.trajectory and "
            "modelmap.step."
        )
    if without:
        notices.append(
            f"Left out {len(without)} run{'s' if len(without) > 1 else ''} without trajectory or "
            f"step ({listed(without)})."
        )
    labels = _by_precision([points[k] for k in on])
    count = Counter(labels)
    single = [points[k].name for k, label in zip(on, labels, strict=True) if count[label] == 1]
    keep = [k for k, label in zip(on, labels, strict=True) if count[label] > 1]
    labels = [label for label in labels if count[label] > 1]
    if not keep:
        raise InputError(
            f"No selected trajectory has two checkpoints or more (there are single ones of "
            f"{listed(sorted(count))}); score another step."
        )
    if single:
        notices.append(f"Left out single checkpoints of a trajectory ({listed(single)}).")
    kept = [replace(points[k], trajectory=label) for k, label in zip(keep, labels, strict=True)]
    given = trajectories(labels, [p.step for p in kept], [p.name for p in kept])
    return matrix.keep_points(np.array(keep, dtype=np.intp)), kept, given


def _by_precision(points: Sequence[Point]) -> list[str]:
    """Names of trajectories; where a step comes in two precisions, the rarer ones get a name."""
    found: dict[str, Counter[str]] = {}
    steps: dict[str, set[tuple[int | None, str]]] = {}
    for p in points:
        name, precision = str(p.trajectory), p.precision or "unknown precision"
        found.setdefault(name, Counter())[precision] += 1
        steps.setdefault(name, set()).add((p.step, precision))
    labels = []
    for p in points:
        name, precision = str(p.trajectory), p.precision or "unknown precision"
        twice = len({step for step, _ in steps[name]}) < len(steps[name])
        main = found[name].most_common(1)[0][0]
        labels.append(f"{name} ({precision})" if twice and precision != main else name)
    return labels


def choose_warm_up(given: Sequence[Trajectory], warm_up: int | None) -> int:
    """The first step after warm-up: as asked, or as `default_warm_up` says."""
    if warm_up is not None and warm_up < 0:
        raise InputError(f"The warm-up ends at step {warm_up}; give 0 or a later step.")
    return default_warm_up(given) if warm_up is None else warm_up


def choose_window(
    given: Sequence[Trajectory], warm_up: int, window: int | None, notices: list[str]
) -> int | None:
    """The window in steps: as asked, else ten times the usual spacing or what there is.

    Raises
    ------
    InputError
        If a window was asked for that fits into no trajectory.
    """
    if window is not None:
        reasons = []
        for t in given:
            try:
                check_window(t.steps, window, warm_up, t.name)
            except InputError as error:
                reasons.append(str(error))
        if len(reasons) == len(given):
            raise InputError(reasons[0])
        notices += [f"No exponents: {reason}" for reason in reasons]
        return window
    spacing = usual_spacing(given)
    for count in range(WINDOW_CHECKPOINTS, FEWEST - 1, -1):
        fitting = [
            t for t in given if next(windows(t.steps, count * spacing, warm_up), None) is not None
        ]
        if fitting:
            if count < WINDOW_CHECKPOINTS:
                notices.append(
                    f"No trajectory spans {WINDOW_CHECKPOINTS} checkpoints after warm-up; the "
                    f"exponents are of windows of {count * spacing} steps."
                )
            return count * spacing
    notices.append(
        f"No trajectory has {FEWEST + 1} checkpoints after warm-up (step {warm_up}), so no "
        "diffusion exponent was fitted."
    )
    return None


def weight_tables(
    table: pd.DataFrame | None, given: Sequence[Trajectory], notices: list[str]
) -> Weights:
    """The listed distances of a weights run, for the trajectories at hand.

    Raises
    ------
    InputError
        If it holds none of them, or a trajectory's weights do not move.
    """
    if table is None:
        return {}
    found: Weights = {}
    for t in given:
        own = table[table["trajectory"] == t.name]
        own = own[own["step_from"].isin(t.steps) & own["step"].isin(t.steps)]
        if own.empty:
            continue
        steps, squared = distance_table(own["step_from"], own["step"], own["squared_distance"])
        if not np.nansum(squared) > 0:
            raise InputError(
                f"The weights of the trajectory {t.name!r} do not move: all distances are 0; check "
                "that each step's own weights were compared."
            )
        found[t.name] = (steps, squared)
    if not found:
        there = ", ".join(map(repr, sorted(set(table["trajectory"]))[:5]))
        raise InputError(
            f"The weights run holds the trajectories {there}, none of those selected "
            f"({listed([t.name for t in given])}); the names must agree."
        )
    missing = [t.name for t in given if t.name not in found]
    if missing:
        notices.append(f"The weights run holds no distances of {listed(missing)}.")
    return found


def find_anomalies(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    weights: Weights,
    warm_up: int,
) -> Found:
    """Checkpoints and trainings that break continuity, in q and in the weights.

    Of a matrix that is clipped and without its irregular texts, whose noise would hide much.
    """
    q = coordinates(matrix)
    reach = _NEAR * usual_spacing(given)
    anomalies, lines = [], []
    for t in given:
        tables = [(Q, t.steps, squared_distances(q, t, reach))]
        if t.name in weights:
            tables.append((W, *weights[t.name]))
        for space, steps, table in tables:
            label = {"trajectory": t.name, "space": space}
            anomalies.append(checkpoint_anomalies(steps, table, warm_up).assign(**label))
            lines.append(continuity(steps, table, warm_up).assign(**label))
    families = {t.name: seed_family(t.name) for t in given}
    related = [t for t in given if list(families.values()).count(families[t.name]) > 1]
    between = kl_between(q, related, shares=matrix.shares) if related else None
    siblings = (
        sibling_anomalies(between, {t.name: families[t.name] for t in related})
        if between is not None
        else sibling_anomalies(pd.DataFrame(columns=["step", "trajectory", "other", "kl"]), {})
    )
    return Found(
        _joined(anomalies, ("trajectory", "space", *ANOMALY_COLUMNS)),
        _joined(lines, ("trajectory", "space", "step_from", "step", "distance", "trend", "score")),
        siblings,
    )


def check_moving(given: Sequence[Trajectory], previous: pd.DataFrame) -> None:
    """Refuse a trajectory whose log-likelihoods never change."""
    for t in given:
        own = previous[previous["trajectory"] == t.name]
        if not (own["kl"] > 0).any():
            raise InputError(
                f"The trajectory {t.name!r} does not move: its {len(t)} checkpoints have the same "
                "log-likelihoods up to a constant; check that each step's own weights were scored, "
                "or leave it out."
            )


def diffusion_table(
    q: np.ndarray,
    given: Sequence[Trajectory],
    weights: Weights,
    window: int | None,
    warm_up: int,
    shares: np.ndarray | None = None,
) -> pd.DataFrame:
    """Exponents of q, the weights and exp(q) for every t0 (``diffusion.parquet``)."""
    frames = []
    for t in given if window is not None else []:
        assert window is not None
        x = q[t.rows]
        found = [
            (Q, sliding_exponents(t.steps, window, warm_up, coordinates=x)),
            (
                EXP_Q,
                sliding_exponents(t.steps, window, warm_up, coordinates=exponential(x, shares)),
            ),
        ]
        if t.name in weights:
            steps, squared = weights[t.name]
            kept = np.isin(steps, t.steps)
            own = squared[np.ix_(kept, kept)]
            found.append((W, sliding_exponents(steps[kept], window, warm_up, table=own)))
        frames += [frame.assign(trajectory=t.name, space=space) for space, frame in found]
    columns = ("trajectory", "space", "t0", "t1", "exponent", "low", "high", "r2")
    return _joined(frames, (*columns, "checkpoints", "directions", "text_error"))


def ordered_names(given: Sequence[Trajectory]) -> list[str]:
    """Names as people count them: 410m, its seeds, then 1b."""
    return sorted((t.name for t in given), key=natural)


def _joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(filled, ignore_index=True)[list(columns)]
