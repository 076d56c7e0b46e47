"""Surface: `modelmap sweep`, the models of a plan as MLflow runs under one parent."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mlflow_modelmap.surfaces.cli.options import Command, Output, option, output_options, table
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.sentence import sentence

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.score.sweep_rows import Sweep, SweepRow

RUN = "Where it is logged"


@click.command(cls=Command, short_help="Score many models, revisions and precisions from a plan.")
@click.argument("plan")
@option("--texts", group="Texts", help="Text set, instead of the plan's own.")
@option("--dry-run", is_flag=True, group="Plan", help="Only print what would be scored.")
@option("--experiment", group=RUN, help="Experiment, instead of the plan's own.")
@option("--again", is_flag=True, group=RUN, help="Score even what is scored already.")
@output_options
def sweep(
    plan: str, texts: str | None, dry_run: bool, experiment: str | None, again: bool, output: Output
) -> int:
    """Score every model of PLAN, a YAML file, and log one run each under a parent run.

    What is scored already is skipped, so a sweep that was stopped goes on where it was. What
    another process is scoring comes last. A model that fails is reported at the end, and the exit
    code is then 1.
    """
    from mlflow_modelmap.drivers.score.sweep import sweep as run_sweep
    from mlflow_modelmap.drivers.score.sweep_rows import FAILED

    told: list[SweepRow] = []
    try:
        done = run_sweep(
            plan,
            texts=texts,
            experiment=experiment,
            again=again,
            dry_run=dry_run,
            progress=output.progress,
            tell=told.append,
        )
    except BaseException:
        _tell_failures(told)  # of what was done before it was stopped
        raise
    lines = _planned(done) if dry_run else _lines(done)
    output.tell(asdict(done), lines, ids=[row.run_id for row in done.rows if row.run_id])
    noticed: dict[str, list[str]] = {}
    for row in done.rows:
        for notice in row.notices:
            noticed.setdefault(notice, []).append(row.point)
    for notice, points in noticed.items():
        output.notice(f"{listed(points, 3)}: {notice}")
    _tell_failures(done.rows)
    if done.not_logged:
        click.echo(f"Error: {sentence(done.not_logged)}", err=True)
    return 1 if done.not_logged or done.count(FAILED) else 0


def _tell_failures(rows: Sequence[SweepRow]) -> None:
    for row in rows:
        if row.error:
            with contextlib.suppress(OSError):  # the terminal may be gone
                click.echo(f"Error: {sentence(f'{row.point}: {row.error}')}", err=True)


def _planned(done: Sweep) -> list[str]:
    headings = ["point", "model", "revision", "precision", "trajectory", "step"]
    rows = [[getattr(row, name) for name in headings] for row in done.rows]
    return [*table(rows, headings), f"{len(rows)} models would be scored."]


def _lines(done: Sweep) -> list[str]:
    from mlflow_modelmap.drivers.score.sweep_rows import FAILED, SCORED, SKIPPED

    headings = ["point", "state", "bits/byte", "seconds", "run"]
    rows = [
        [
            row.point,
            row.state,
            None if row.bits_per_byte is None else f"{row.bits_per_byte:.4f}",
            None if row.seconds is None else f"{row.seconds:.1f}",
            row.run_id,
        ]
        for row in done.rows
    ]
    lines = [
        *table(rows, headings),
        f"{done.count(SCORED)} scored, {done.count(SKIPPED)} scored before, "
        f"{done.count(FAILED)} failed.",
    ]
    if done.run_id:
        lines.append(f"Sweep {done.run_id} in experiment {done.experiment_id}")
    return lines
