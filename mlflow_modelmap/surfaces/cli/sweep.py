"""Surface: `modelmap sweep`, the models of a plan as MLflow runs under one parent."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlflow_modelmap.surfaces.cli.options import Command, Output, option, output_options, table
from mlflow_modelmap.words.sentence import sentence

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

    What is scored already is skipped, so a sweep that was stopped goes on where it was. A model
    that fails is reported at the end, and the exit code is then 1.
    """
    from mlflow_modelmap.drivers.score.sweep import sweep as run_sweep
    from mlflow_modelmap.drivers.score.sweep_rows import FAILED, SCORED, SKIPPED

    done = run_sweep(
        plan,
        texts=texts,
        experiment=experiment,
        again=again,
        dry_run=dry_run,
        progress=output.progress,
    )
    if dry_run:
        headings = ["point", "model", "revision", "precision", "trajectory", "step"]
        rows = [[getattr(row, name) for name in headings] for row in done.rows]
        lines = [*table(rows, headings), f"{len(rows)} models would be scored."]
    else:
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
    output.tell(asdict(done), lines, ids=[row.run_id for row in done.rows if row.run_id])
    for row in done.rows:
        if row.state == FAILED:
            click.echo(f"Error: {sentence(f'{row.point}: {row.error}')}", err=True)
    return 1 if done.count(FAILED) else 0
