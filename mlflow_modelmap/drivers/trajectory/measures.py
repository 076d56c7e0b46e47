"""Driver: KL and diffusion along trajectories, from a preprocessed matrix to tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.trajectory.anomalies import Found, joined
from mlflow_modelmap.drivers.trajectory.selection import WeightTables, choose_window
from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.combined import combined_table
from mlflow_modelmap.numerics.diffusion.fractional_motion import FEWEST_FOR_INTERVAL
from mlflow_modelmap.numerics.diffusion.offset import MISFIT
from mlflow_modelmap.numerics.diffusion.tables import EXP_Q, Q, W, hoelder_table, summary_table
from mlflow_modelmap.numerics.diffusion.windows import sliding_exponents
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates, exponential
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.kl_along import kl_between, kl_from, kl_previous
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import points_table

_DIFFUSION_COLUMNS = (
    *("trajectory", "space", "t0", "t1", "exponent", "low", "high", "r2"),
    *("checkpoints", "directions", "text_error", "standard_error"),
    *("lack_of_fit", "offset", "exponent_with_offset"),
)


def measure(
    done: Preprocessed,
    points: Sequence[Point],
    found: Found,
    weight_tables: WeightTables,
    window: int | None,
    start: int | None,
    notices: list[str],
) -> TrajectoryStudy:
    """KL, diffusion and what was found, of checkpoints that were preprocessed; not logged yet.

    Parameters
    ----------
    points
        Those of the matrix, in its order.
    window, start
        In steps, as asked, or None to choose.

    Raises
    ------
    InputError
        If a trajectory does not move, the window fits into none, or no checkpoint is at `start`.
    """
    q, given, shares = coordinates(done.matrix), done.trajectories, done.matrix.shares
    sampling = done.matrix.sampling
    previous = kl_previous(q, given, sampling)
    check_moving(given, previous)
    width = choose_window(given, done.warm_up, window, notices)
    diffusion = diffusion_table(q, given, weight_tables, width, done.warm_up, shares)
    t0 = _start(diffusion, given, start)
    kl, se = kl_with_standard_error(q, sampling)
    names = list(done.matrix.points)
    judged = {t.name for t in given} & set(found.continuity["trajectory"])
    unjudged = [t.name for t in given if t.name not in judged]
    if unjudged:
        notices.append(
            f"{len(unjudged)} of {len(given)} trajectories have too few checkpoints after step "
            f"{done.warm_up} (fewer than 8) for their continuity to be judged."
        )
    summary = summary_table(diffusion, t0)
    notices += _notices_of_exponents(diffusion, summary)
    tables = {} if t0 is None else {"kl_from_start": kl_from(q, given, t0, sampling)}
    together = combined_table(diffusion, t0)
    if len(together):
        tables["combined"] = together
    return TrajectoryStudy(
        run_id="",
        experiment_id="",
        name="",
        points=points_table(points),
        coordinates=q,
        kl=pd.DataFrame(kl, index=names, columns=names),
        kl_standard_error=pd.DataFrame(se, index=names, columns=names),
        kl_previous=previous,
        kl_between=kl_between(q, given, shares=sampling),
        diffusion=diffusion,
        hoelder=hoelder_table(diffusion),
        summary=summary,
        anomalies=found.anomalies,
        continuity=found.continuity,
        siblings=found.siblings,
        texts=done.text_table(),
        worst_texts=pd.DataFrame(),
        tables=tables,
        settings={**done.record(), "warm_up": done.warm_up, "window": width, "start": t0},
        notices=tuple(notices),
    )


def _start(diffusion: pd.DataFrame, given: Sequence[Trajectory], start: int | None) -> int | None:
    """The t0 of the summary: as asked, else the last that all trajectories (or any) have."""
    in_q = diffusion[diffusion["space"] == Q]
    if start is not None:
        if not any(start in t.steps[:-1] for t in given):
            steps = sorted({int(s) for t in given for s in t.steps[:-1]})
            near = min(steps, key=lambda s: abs(s - start))
            raise InputError(
                f"No trajectory has a checkpoint at step {start} and one after it; the nearest "
                f"such step is {near}."
            )
        return start
    if in_q.empty:
        return None
    counts = in_q.groupby("t0")["trajectory"].nunique()
    return int(counts.index[counts == counts.max()].max())


def _notices_of_exponents(diffusion: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Which exponents have no interval, and which power laws do not fit, a sentence each."""
    notices = []
    short = int((diffusion["checkpoints"] < FEWEST_FOR_INTERVAL).sum())
    if short:
        notices.append(
            f"{short} of {len(diffusion)} exponents are of fewer than {FEWEST_FOR_INTERVAL} "
            "checkpoints after t0 and have no interval; give a longer window."
        )
    for row in summary.to_dict("records"):
        if row["lack_of_fit_q"] < MISFIT:
            notices.append(
                f"From step {row['t0']} on {row['trajectory']} does not move as a power law (p = "
                f"{row['lack_of_fit_q']:.1g}): jitter of its checkpoints or uneven steps move c_q "
                f"(with an offset it is {row['c_q_with_offset']:.2f}), and its interval does not "
                "allow for that."
            )
    return notices


def check_moving(given: Sequence[Trajectory], previous: pd.DataFrame) -> None:
    """Refuse a trajectory whose log-likelihoods never change.

    Raises
    ------
    InputError
        Naming it.
    """
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
    weight_tables: WeightTables,
    window: int | None,
    warm_up: int,
    shares: np.ndarray | None = None,
) -> pd.DataFrame:
    """Exponents of q, the weights and exp(q) for every t0 (``diffusion.parquet``).

    Parameters
    ----------
    q
        Scaled coordinates, shape (K, N).
    window
        In steps; None for no exponents.
    shares
        Of the texts, shape (N,), summing to 1, or None where they count alike.
    """
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
        if t.name in weight_tables:
            steps, squared = weight_tables[t.name]
            kept = np.isin(steps, t.steps)
            own = squared[np.ix_(kept, kept)]
            found.append((W, sliding_exponents(steps[kept], window, warm_up, table=own)))
        frames += [frame.assign(trajectory=t.name, space=space) for space, frame in found]
    return joined(frames, _DIFFUSION_COLUMNS)
