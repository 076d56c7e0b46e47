"""Driver: what is studied of selected runs - points on trajectories, warm-up, window, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import FEWEST
from mlflow_modelmap.numerics.diffusion.windows import check_window, windows
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.trajectory.distance_tables import distance_table
from mlflow_modelmap.numerics.trajectory.spacing import default_warm_up, usual_spacing
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory, trajectories
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.natural_order import natural

WINDOW_CHECKPOINTS = 10

WeightTables = dict[str, tuple[np.ndarray, np.ndarray]]
"""For each trajectory its steps, shape (T,), and squared distances of its weights, (T, T); NaN
where unknown."""


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
    why = f" ({' '.join(notices)})" if notices else ""
    without = [p.name for p in points if p.trajectory is None or p.step is None]
    on = [k for k, p in enumerate(points) if p.trajectory is not None and p.step is not None]
    if not on:
        raise InputError(
            f"None of the {len(points)} selected runs has both a trajectory and a step{why}; score "
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
            f"{listed(sorted(count))}){why}; score another step."
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
    """The first step after warm-up: as asked, or as `default_warm_up` says.

    Raises
    ------
    InputError
        If it is negative.
    """
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
        reasons = _unfit(given, window, warm_up)
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
            notices += [f"No exponents: {r}" for r in _unfit(given, count * spacing, warm_up)]
            return count * spacing
    notices.append(
        f"No trajectory has {FEWEST + 1} checkpoints after warm-up (step {warm_up}), so no "
        "diffusion exponent was fitted."
    )
    return None


def _unfit(given: Sequence[Trajectory], window: int, warm_up: int) -> list[str]:
    """Why a window fits into none of some trajectories, a sentence each."""
    reasons = []
    for t in given:
        try:
            check_window(t.steps, window, warm_up, t.name)
        except InputError as error:
            reasons.append(str(error))
    return reasons


def weight_tables(
    table: pd.DataFrame | None, given: Sequence[Trajectory], notices: list[str]
) -> WeightTables:
    """The listed distances of a weights run, for the trajectories at hand.

    Parameters
    ----------
    table
        `TrajectoryWeights.table`, or None without a weights run.

    Raises
    ------
    InputError
        If it holds none of them, or a trajectory's weights do not move.
    """
    if table is None:
        return {}
    found: WeightTables = {}
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
        raise InputError(
            "The weights run holds the trajectories "
            f"{listed(sorted(set(table['trajectory'])))}, none of those selected "
            f"({listed([t.name for t in given])}); the names must agree."
        )
    missing = [t.name for t in given if t.name not in found]
    if missing:
        notices.append(f"The weights run holds no distances of {listed(missing)}.")
    return found


def ordered_names(given: Sequence[Trajectory]) -> list[str]:
    """Names as people count them: 410m, its seeds, then 1b."""
    return sorted((t.name for t in given), key=natural)
