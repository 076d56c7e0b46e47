"""Surface: `modelmap clean`, what killed work left behind."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    experiments_option,
    option,
    output_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(
    cls=Command, short_help="End the runs that killed work left over, and remove its files."
)
@experiments_option("Experiment whose runs are looked through; by default all.", "Where")
@option("--yes", is_flag=True, group="What is done", help="End and remove it, not only list it.")
@output_options
def clean(experiments: tuple[str, ...], yes: bool, output: Output) -> int:
    """List what killed work left behind; with --yes, end and remove it.

    That is: runs that are RUNNING although their process is gone (on another machine: has given
    no sign for 15 minutes, a monitored training for a day), which become KILLED; temporary
    folders; half-written files in the spool, and vectors there that are logged by now. Other
    people's runs and runs whose process lives are never touched, and vectors that wait to be
    logged stay.
    """
    from mlflow_modelmap.drivers.clean.clean import clean as clean_up

    found = clean_up(experiments, yes=yes)
    rows = [[one.what, one.name, one.kind, one.run_id, one.why] for one in found.left]
    done, failed = sum(one.gone for one in found.left), [one for one in found.left if one.error]
    lines = list(table(rows, ["what", "name", "kind", "run", "why"])) if rows else []
    if not rows:
        lines.append("Nothing is left over.")
    elif yes:
        lines.append(f"{done} ended or removed.")
    else:
        lines.append(f"{len(rows)} left over; --yes ends and removes them.")
    if found.waiting:
        lines.append(
            f"{len(found.waiting)} in the spool wait to be logged by the command that made them."
        )
    output.tell(asdict(found), lines, ids=[one.run_id for one in found.left if one.run_id])
    for one in failed:
        click.echo(f"Error: {one.name}: {one.error}", err=True)
    return 1 if failed else 0
