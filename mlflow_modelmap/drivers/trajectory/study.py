"""Driver: a study of trajectories - what it holds, and how it is loaded back from its run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study, square_of

TABLES = (
    "points",
    "kl_previous",
    "kl_between",
    "diffusion",
    "hoelder",
    "summary",
    "anomalies",
    "continuity",
    "siblings",
    "worst_texts",
    "texts",
)
OPTIONAL = (
    "kl_from_start",
    "kl_after_removing",
    "halves",
    "domains",
    "autocorrelation",
    "combined",
)


@dataclass(frozen=True, eq=False)
class TrajectoryStudy:
    """What was measured along one or more trainings; KL in bits/byte.

    Attributes
    ----------
    run_id, experiment_id, name
        Of the run of kind ``trajectory`` that holds it.
    points
        One row a checkpoint, with the coordinates that the pictures are drawn at.
    coordinates
        Q after preprocessing, scaled, shape (K, N).
    kl, kl_standard_error
        Between all checkpoints, (K, K), named by point.
    kl_previous
        ``trajectory``, ``step_from``, ``step``, ``kl``, ``se``, ``kl_per_1000_steps``.
    kl_between
        ``step``, ``trajectory``, ``other``, ``kl``, ``se``.
    diffusion
        ``trajectory``, ``space`` (q, w, exp_q), ``t0``, ``t1``, ``exponent``, ``low``, ``high``,
        ``r2``, ``checkpoints``, ``directions``, ``text_error``, ``standard_error``,
        ``lack_of_fit``, ``offset``, ``exponent_with_offset`` (the last four not in studies that
        0.1.0 logged).
    hoelder
        ``trajectory``, ``t0``, ``alpha``, ``low``, ``high``.
    summary
        One row a trajectory, see `numerics.diffusion.tables.summary_table`.
    anomalies, continuity, siblings
        See `numerics.trajectory.anomalies`; the first two with ``trajectory`` and ``space``.
    texts, worst_texts
        ``text``, ``maximum``, ``sd``, ``dropped``; the worst also with an ``excerpt`` where the
        texts were given.
    tables
        Further tables by name: ``kl_from_start``, ``kl_after_removing``, ``halves``,
        ``domains``, ``autocorrelation``, ``combined`` (exponents over trajectories and over
        disjoint windows, see `numerics.diffusion.combined.combined_table`), as far as there are.
    settings
        What was done to the matrix, the warm-up, the window and t0.
    notices
        What was left out or done otherwise than asked, a sentence each.
    """

    run_id: str
    experiment_id: str
    name: str
    points: pd.DataFrame
    coordinates: np.ndarray
    kl: pd.DataFrame
    kl_standard_error: pd.DataFrame
    kl_previous: pd.DataFrame
    kl_between: pd.DataFrame
    diffusion: pd.DataFrame
    hoelder: pd.DataFrame
    summary: pd.DataFrame
    anomalies: pd.DataFrame
    continuity: pd.DataFrame
    siblings: pd.DataFrame
    texts: pd.DataFrame
    worst_texts: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def load_trajectory(run_id: str) -> TrajectoryStudy:
    """What `trajectory` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished trajectory run.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(
        run_id,
        schema.KIND_TRAJECTORY,
        tables=(*TABLES, "kl", "kl_standard_error"),
        arrays=("coordinates",),
        optional=OPTIONAL,
    )
    tables = read.tables
    settings = {
        key.removeprefix("modelmap."): value
        for key, value in read.params.items()
        if key.startswith("modelmap.") and key != "modelmap.notices"
    }
    return TrajectoryStudy(
        run_id=read.run_id,
        experiment_id=read.experiment_id,
        name=read.name,
        coordinates=read.arrays["coordinates"],
        kl=square_of(tables["kl"]),
        kl_standard_error=square_of(tables["kl_standard_error"]),
        tables={name: tables[name] for name in OPTIONAL if name in tables},
        settings=settings,
        notices=read.notices,
        **{name: tables[name] for name in TABLES},
    )
