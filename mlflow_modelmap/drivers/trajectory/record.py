"""Driver: a study of trajectories as an MLflow run - tables, metrics, curves, note and flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.study.selection import SelectedRuns
from mlflow_modelmap.drivers.trajectory.selection import ordered_names
from mlflow_modelmap.drivers.trajectory.study import TABLES, TrajectoryStudy
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory, common_steps
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import square_table, write_study

MOST_PAIRS = 100
"""Pairs of trajectories whose KL is logged as metrics; all are in kl_between.parquet."""


def log_study(
    study: TrajectoryStudy,
    done: Preprocessed,
    figures: Mapping[str, Figure],
    *,
    selected: SelectedRuns,
    members: Sequence[Point],
    flagged: Mapping[str, str],
    params: Mapping[str, Any],
    name: str | None,
    output_experiment: str | None,
    run_id: str | None,
) -> TrajectoryStudy:
    """Log the run, and tag the flagged runs; the study with the run that holds it comes back.

    Parameters
    ----------
    figures
        By file name.
    members
        The points that were measured.
    flagged
        Why, by run id.
    """
    store = selected.store
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
        figures=figures,
        metrics=_metrics(study, done),
        series=_series(study),
        params={**params, **study.settings},
        tags={schema.TAG_NOTE: _note(study, done)},
        members=members,
        weights=done.matrix.weights,
        selection=selected.selection,
        notices=study.notices,
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
        "documents": float(done.matrix.units),
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
            for edge in ("low", "high"):
                metrics[f"summary/dimension_{space}_{edge}{end}"] = row[f"dimension_{space}_{edge}"]
    if "combined" in study.tables:
        together = study.tables["combined"]
        for of in together[together["over"] == "trajectories"].to_dict("records"):
            metrics[f"combined/c_{of['space']}"] = of["exponent"]
            metrics[f"combined/c_{of['space']}_se"] = of["standard_error"]
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
