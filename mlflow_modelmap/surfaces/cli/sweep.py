"""Surface: `modelmap sweep`, the models of a plan as MLflow runs under one parent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Option,
    Output,
    comma_separated,
    logging_experiment,
    option,
    output_options,
)
from mlflow_modelmap.surfaces.cli.tables import table
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.sentence import sentence

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.score.sweep_rows import Sweep, SweepRow
    from mlflow_modelmap.drivers.score.workers.options import Workers

RUN = "Where it is logged"
WORKERS = "Who scores"
SLURM = "On Slurm"


@click.command(cls=Command, short_help="Score many models, revisions and precisions from a plan.")
@click.argument("plan", required=False)
@option("--texts", group="Texts", help="Text set, instead of the plan's own.")
@option("--dry-run", is_flag=True, group="Plan", help="Only print what would be scored.")
@option("--shard", metavar="I/N", group="Plan", help="Only part I of N, such as 2/8.")
@click.option("--status", cls=Option, group="Plan", help="Say how far the sweep with this run is.")
@option(
    "--workers",
    type=int,
    group=WORKERS,
    help="How many models at once; by default one, on a GPU one a GPU, on Slurm 4.",
)
@option(
    "--on", metavar="local|ray|slurm", group=WORKERS, help="Where; by default local, this machine."
)
@option(
    "--log-from",
    metavar="driver|worker",
    group=WORKERS,
    help="Who logs; by default driver, the sweep.",
)
@option("--threads", type=int, group=WORKERS, help="CPU threads of each, else its share.")
@option("--gpus", type=float, group=WORKERS, help="GPUs of each: 0.25 is a share, 2 are two.")
@option("--memory", type=float, group=WORKERS, help="GB of memory of each, on a cluster.")
@option("--ray-address", group=WORKERS, help="Ray cluster, else one that is started here.")
@option("--keep-cache", type=float, group=WORKERS, help="GB of fetched weights to keep, else all.")
@option("--partition", group=SLURM, help="Partition.")
@option("--time", type=int, group=SLURM, help="Minutes that a job may take; 60 by default.")
@option(
    "--sbatch",
    multiple=True,
    callback=comma_separated,
    metavar="NAME=VALUE",
    group=SLURM,
    help="Any other option of sbatch. Repeatable, or separated by commas.",
)
@option("--folder", group=SLURM, help="Folder that all nodes see; by default slurm in the spool.")
@option("--cluster", metavar="slurm|local", group=SLURM, help="local: jobs as processes here.")
@logging_experiment("Experiment to log into, instead of the plan's own.", RUN)
@option("--again", is_flag=True, group=RUN, help="Score even what is scored already.")
@output_options
def sweep(
    plan: str | None,
    texts: str | None,
    dry_run: bool,
    shard: str | None,
    status: str | None,
    keep_cache: float | None,
    experiment: str | None,
    again: bool,
    output: Output,
    **who: Any,
) -> int:
    """Score every model of PLAN, a YAML file, and log one run each under a parent run.

    What is scored already is skipped, so a sweep that was stopped goes on where it was. What
    another process is scoring comes last. A model that fails is reported at the end, and the exit
    code is then 1. With --workers, or --on, many are scored at once (docs/scaling.md).
    """
    if status:
        return _tell_status(status, output)
    if plan is None:
        raise click.UsageError("Missing argument 'PLAN'.")
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
            shard=shard,
            workers=_workers(**who),
            keep_cache=keep_cache,
            progress=output.progress,
            tell=told.append,
        )
    except BaseException:
        if told and not output.json:  # what was done before it was stopped
            for line in [row.run_id for row in told if row.run_id] if output.quiet else _rows(told):
                click.echo(line)
        _tell_failures(told)
        raise
    lines = _planned(done) if dry_run else _lines(done)
    output.tell(asdict(done), lines, ids=[row.run_id for row in done.rows if row.run_id])
    noticed: dict[str, list[str]] = {}
    for row in done.rows:
        for notice in row.notices:
            noticed.setdefault(notice, []).append(row.point)
    for notice, points in noticed.items():
        output.notice(f"{listed(points, 3)}: {notice}")
    for notice in done.notices:
        output.notice(notice)
    _tell_failures(done.rows)
    if done.not_logged:
        click.echo(f"Error: {sentence(done.not_logged)}", err=True)
    return 1 if done.not_logged or done.count(FAILED) else 0


def _workers(*, workers: int | None, sbatch: tuple[str, ...], **said: Any) -> Workers | None:
    """Who is to score; None for this process, where nothing is said."""
    from mlflow_modelmap.drivers.score.workers.options import Workers

    given = {name: value for name, value in said.items() if value is not None}
    if workers is None and not given and not sbatch:
        return None
    return Workers(count=workers, sbatch=sbatch, **given)


def _tell_status(run_id: str, output: Output) -> int:
    from mlflow_modelmap.drivers.score.sweep_status import sweep_status

    found = sweep_status(run_id)
    of = "" if found.models is None else f" of {found.models}"
    before = "" if not found.skipped else f", {found.skipped} scored before"
    lines = [
        f"{found.name} ({found.status}): {found.scored}{of} scored{before}, {found.failed} failed."
    ]
    if found.gone:
        lines.append(f"It does not go on: {found.gone}; start it again.")
    elif found.status == "RUNNING":
        if found.working:
            lines.append(f"At work ({found.workers}): {listed(found.working, 8)}.")
        if found.tokens_per_second:
            left = found.seconds_left
            time = "" if left is None else f", {_duration(left)} left"
            lines.append(f"{found.tokens_per_second:,.0f} tokens/s{time} (said at {found.at}).")
    output.tell(asdict(found), lines, ids=[found.run_id])
    return 0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )


def _tell_failures(rows: Sequence[SweepRow]) -> None:
    for row in rows:
        if row.error:
            with contextlib.suppress(OSError):  # the terminal may be gone
                click.echo(f"Error: {sentence(f'{row.point}: {row.error}')}", err=True)


def _planned(done: Sweep) -> list[str]:
    headings = ["point", "model", "revision", "precision", "trajectory", "step"]
    rows = [[getattr(row, name) for name in headings] for row in done.rows]
    return [*table(rows, headings), f"{len(rows)} models would be scored."]


def _rows(rows: Sequence[SweepRow]) -> Iterator[str]:
    headings = ["point", "state", "bits/byte", "seconds", "run"]
    cells = [
        [
            row.point,
            row.state,
            None if row.bits_per_byte is None else f"{row.bits_per_byte:.4f}",
            None if row.seconds is None else f"{row.seconds:.1f}",
            row.run_id,
        ]
        for row in rows
    ]
    return table(cells, headings)


def _lines(done: Sweep) -> list[str]:
    from mlflow_modelmap.drivers.score.sweep_rows import FAILED, SCORED, SKIPPED

    lines = [
        *_rows(done.rows),
        f"{done.count(SCORED)} scored, {done.count(SKIPPED)} scored before, "
        f"{done.count(FAILED)} failed.",
    ]
    if done.run_id:
        lines.append(f"Sweep {done.run_id} in experiment {done.experiment_id}")
    return lines
