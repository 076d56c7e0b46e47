"""Driver: what became of each model of a plan - the rows of a sweep, and its run's artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.schema import SWEEP_TABLE
from mlflow_modelmap.words.redact import redact

SCORED, SKIPPED, FAILED, PLANNED = "scored", "skipped", "failed", "planned"


@dataclass(frozen=True)
class SweepRow:
    """What became of one model of a plan.

    Attributes
    ----------
    point, model, revision, precision, trajectory, step
        Which model; the precision as asked for.
    state
        ``scored``, ``skipped`` (was scored already), ``failed``, or ``planned`` (a dry run).
    run_id, bits_per_byte, seconds
        Where they are known.
    error
        Why it failed, in one sentence.
    notices
        What there is to be known of the score, in sentences; not in the table of the run.
    """

    point: str
    model: str
    revision: str | None
    precision: str
    trajectory: str | None
    step: int | None
    state: str = PLANNED
    run_id: str | None = None
    bits_per_byte: float | None = None
    seconds: float | None = None
    error: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """A sweep that has been worked through.

    Attributes
    ----------
    run_id
        Its parent run; None where there was nothing to do, or in a dry run.
    experiment_id
        Where its runs are; None in a dry run.
    rows
        One a model, in the plan's order.
    not_logged
        Why they could not be logged, in one sentence; None where they are.
    notices
        What there is to be known of the sweep, in sentences: workers that died, a changed plan.
    """

    run_id: str | None
    experiment_id: str | None
    rows: tuple[SweepRow, ...]
    not_logged: str | None = None
    notices: tuple[str, ...] = ()

    def count(self, state: str) -> int:
        """How many models ended in a state."""
        return sum(row.state == state for row in self.rows)


def planned(request: ScoreRequest) -> SweepRow:
    """The row of a model that is yet to be scored."""
    return SweepRow(
        point=request.point_name,
        model=request.reference.name,
        revision=request.reference.revision,
        precision=request.settings.precision,
        trajectory=request.trajectory,
        step=request.step,
    )


def log_rows(run: OpenRun, rows: Sequence[SweepRow], plan: str) -> None:
    """Log what became of each model, and the plan as written, into the sweep's own run."""
    columns = [field.name for field in fields(SweepRow)]
    frame = pd.DataFrame([asdict(row) for row in rows], columns=columns).drop(columns="notices")
    with temporary_folder() as folder:
        frame.astype({"step": "Int64", "run_id": "string"}).to_parquet(
            Path(folder) / SWEEP_TABLE, index=False
        )
        frame.to_csv(Path(folder) / SWEEP_TABLE.replace(".parquet", ".csv"), index=False)
        (Path(folder) / "plan.yaml").write_text(redact(plan), encoding="utf-8")
        run.log_folder(folder)
    states = (SCORED, SKIPPED, FAILED)
    run.log(metrics={f"modelmap/{s}": float(sum(r.state == s for r in rows)) for s in states})
