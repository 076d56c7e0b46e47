"""Driver: what a study of trajectories holds, how it is logged and loaded back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.trajectory.measures import Weights, ordered_names
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory, common_steps
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, square_table, write_study

MOST_PAIRS = 100
"""Pairs of trajectories whose KL is logged as metrics; all are in kl_between.parquet."""
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
OPTIONAL = ("kl_from_start", "kl_after_removing", "halves", "domains", "autocorrelation")


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
        ``r2``, ``checkpoints``, ``directions``, ``text_error``.
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
        ``domains``, ``autocorrelation``, as far as there are.
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


def log_study(
    study: TrajectoryStudy,
    done: Preprocessed,
    weights: Weights,
    embedding: tuple[float, tuple[float, ...], int] | None,
    *,
    members: Sequence[Point],
    flagged: dict[str, str],
    params: dict[str, Any],
    name: str | None,
    output_experiment: str | None,
    run_id: str | None,
    store: MlflowClient,
) -> TrajectoryStudy:
    """Draw the pictures (with an embedding), log the run, and tag the flagged runs."""
    from mlflow_modelmap.drivers.trajectory.pictures import Drawn, pictures

    drawn = pictures(study, done, weights, *embedding) if embedding else Drawn({}, {}, {}, ())
    study = replace(
        study,
        points=study.points.assign(**drawn.columns),
        tables={**study.tables, **drawn.tables},
        notices=(*study.notices, *drawn.notices),
    )
    tables = {name: getattr(study, name) for name in TABLES} | study.tables
    final = _final_table(study.kl_between, done.trajectories)
    if final is not None:
        tables["kl_final"] = final
    logged = write_study(
        schema.KIND_TRAJECTORY,
        tables={
            **tables,
            "kl": square_table(study.kl.columns, study.kl.to_numpy()),
            "kl_standard_error": square_table(study.kl.columns, study.kl_standard_error.to_numpy()),
        },
        arrays={"coordinates": study.coordinates},
        figures=drawn.figures,
        metrics=_metrics(study, done),
        series=_series(study),
        params={
            **params,
            **study.settings,
            "notices": json.dumps(study.notices, ensure_ascii=False),
        },
        tags={schema.TAG_NOTE: _note(study, done)},
        members=members,
        weights=done.matrix.weights,
        name=name or "trajectory",
        experiment=output_experiment,
        run_id=run_id,
        store=store,
    )
    for flagged_id, why in flagged.items():
        store.set_tag(flagged_id, schema.TAG_ANOMALY, why[:5000])
    info = store.get_run(logged).info
    return replace(
        study, run_id=logged, experiment_id=info.experiment_id, name=info.run_name or "trajectory"
    )


def _final_table(between: pd.DataFrame, given: Sequence[Trajectory]) -> pd.DataFrame | None:
    """KL between trajectories at the last step that all have (Table 3), or None."""
    steps = common_steps(given)
    if len(given) < 2 or not steps.size:
        return None
    names = ordered_names(given)
    at = between[between["step"] == steps[-1]]
    square = pd.DataFrame(0.0, index=names, columns=names)
    for row in at.itertuples():
        square.loc[row.trajectory, row.other] = square.loc[row.other, row.trajectory] = row.kl
    table = square_table(names, square.to_numpy())
    table.insert(1, "step", int(steps[-1]))
    return table


def _metrics(study: TrajectoryStudy, done: Preprocessed) -> dict[str, float]:
    metrics = {
        "trajectories": float(len(done.trajectories)),
        "checkpoints": float(len(study.points)),
        "texts": float(done.kept.sum()),
        "dropped_texts": float(done.dropped.size),
        "left_out_checkpoints": float(len(done.left_out)),
        "mean_bytes": done.mean_bytes,
        "anomalies": float(len(study.anomalies)),
        "outlying_trajectories": float(study.siblings["outlier"].astype(bool).sum()),
        "median_kl_previous": float(study.kl_previous["kl"].median()),
    }
    if "halves" in study.tables:
        metrics["correlation_of_halves"] = float(study.tables["halves"]["correlation"].mean())
    if "other_text_set.correlation" in study.settings:
        metrics["correlation_with_other_texts"] = study.settings["other_text_set.correlation"]
    several = len(done.trajectories) > 1
    for row in study.summary.to_dict("records"):
        end = f"/{row['trajectory']}" if several else ""
        for key in ("alpha", "dimension_q", "dimension_w", "difference"):
            metrics[f"summary/{key}{end}"] = row[key]
        for space in ("q", "w", "exp_q"):
            metrics[f"summary/c_{space}{end}"] = row[f"c_{space}"]
        for space in ("q", "w"):
            metrics[f"summary/r2_{space}{end}"] = row[f"r2_{space}_mean"]
    return {key: float(value) for key, value in metrics.items() if np.isfinite(value)}


def _series(study: TrajectoryStudy) -> Iterable[tuple[str, int, float]]:
    several = study.kl_previous["trajectory"].nunique() > 1

    def of(what: str, name: str) -> str:
        return f"{what}/{name}" if several else what

    for row in study.kl_previous.itertuples():
        yield of("kl_previous", row.trajectory), row.step, row.kl
        yield of("kl_previous_se", row.trajectory), row.step, row.se
        yield of("kl_per_1000_steps", row.trajectory), row.step, row.kl_per_1000_steps
    if "kl_from_start" in study.tables:
        for row in study.tables["kl_from_start"].itertuples():
            yield of(f"kl_from_step_{row.step_from}", row.trajectory), row.step, row.kl
    pairs = study.kl_between.groupby(["trajectory", "other"], sort=False).ngroups
    if pairs <= MOST_PAIRS:
        for row in study.kl_between.itertuples():
            yield f"kl_between/{row.trajectory} and {row.other}", row.step, row.kl
    for row in study.diffusion.itertuples():
        yield of(f"exponent_{row.space}", row.trajectory), row.t0, row.exponent
        yield of(f"r2_{row.space}", row.trajectory), row.t0, row.r2
    for row in study.hoelder.itertuples():
        yield of("alpha", row.trajectory), row.t0, row.alpha


def _note(study: TrajectoryStudy, done: Preprocessed) -> str:
    """What the UI shows as the run's description."""
    flagged = len(study.anomalies) + int(study.siblings["outlier"].astype(bool).sum())
    found = f"{flagged} anomalies" if flagged else "no anomalies"
    return (
        f"{len(done.trajectories)} trajectories, {len(study.points):,} checkpoints on "
        f"{int(done.kept.sum()):,} texts; {found}. `mlflow_modelmap.load_trajectory` gives "
        "everything back."
    )


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
        kl=_square(tables["kl"]),
        kl_standard_error=_square(tables["kl_standard_error"]),
        tables={name: tables[name] for name in OPTIONAL if name in tables},
        settings=settings,
        notices=_notices(read.params.get("modelmap.notices", "[]")),
        **{name: tables[name] for name in TABLES},
    )


def _notices(written: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(written))
    except ValueError:  # longer than MLflow keeps
        return (written,)


def _square(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("point").rename_axis(index=None)
