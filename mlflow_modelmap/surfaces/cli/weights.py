"""Surface: `modelmap weights`, distances between checkpoints in weight space."""

from __future__ import annotations

import re

import click

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    option,
    output_options,
    selection_options,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table

_MOST_STEPS = 1_000_000
WHICH = "Or which checkpoints"


@click.command(cls=Command, short_help="Distances between checkpoints in weight space.")
@selection_options
@option("--plan", group=WHICH, help="A sweep's plan (YAML).")
@option("--model", group=WHICH, help="Model with a revision a step, or a path with {step}.")
@option("--steps", group=WHICH, help="Its steps: 0,512 or START:STOP:EVERY (STOP included).")
@option(
    "--revisions", default="step{step}", show_default=True, group=WHICH, help="Name of a revision."
)
@option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="STEP=PATH",
    group=WHICH,
    help="A directory. Repeatable.",
)
@option("--trajectory", group=WHICH, help="Name of the training, with --model or --checkpoint.")
@option("--window", type=int, group="Pairs", help="All pairs at most this many steps apart.")
@option("--full", is_flag=True, group="Pairs", help="All pairs (by default neighbours only).")
@where_options
@output_options
def weights(
    output: Output, steps: str | None, checkpoints: tuple[str, ...], **values: object
) -> None:
    """Measure squared Euclidean distances over all parameters, streamed from safetensors.

    No model is built, every file is read once, and an interrupted command goes on where it was.
    Give score runs (an experiment, filter or run ids), or one of the other ways to name
    checkpoints.
    """
    from mlflow_modelmap.drivers.weights.distances import weight_distances

    found = weight_distances(
        steps=_steps(steps or ""),
        checkpoints=dict(map(_checkpoint, checkpoints)) or None,
        progress=output.progress,
        **values,  # type: ignore[arg-type]
    )
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (row.trajectory, row.step_from, row.step, f"{row.squared_distance:.6g}")
        for row in found.previous.itertuples()
    ]
    lines = [
        *table(rows, ("trajectory", "from step", "step", "squared distance")),
        f"Run {found.run_id} holds {len(found.table)} distances.",
    ]
    result = {
        "run_id": found.run_id,
        "weight_distances": found.table.to_dict("records"),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id])


def _steps(written: str) -> list[int]:
    steps: list[int] = []
    for part in filter(None, (part.strip() for part in written.split(","))):
        if not re.fullmatch(r"\d{1,18}(:\d{1,18}:\d{1,18})?", part, re.ASCII):
            raise InputError(f"{part!r} is no step; write 512 or START:STOP:EVERY.")
        start, *rest = map(int, part.split(":"))
        if rest and rest[1] < 1:
            raise InputError(f"{part!r} goes on every {rest[1]} steps; write 1 or more.")
        if rest and len(range(start, rest[0] + 1, rest[1])) > _MOST_STEPS:
            raise InputError(
                f"{part!r} is {len(range(start, rest[0] + 1, rest[1])):,} steps; a training has at "
                f"most {_MOST_STEPS:,} checkpoints here."
            )
        steps += range(start, rest[0] + 1, rest[1]) if rest else [start]
    return list(dict.fromkeys(steps))


def _checkpoint(written: str) -> tuple[int, str]:
    step, equals, path = written.partition("=")
    if not equals or not re.fullmatch(r"\d{1,18}", step.strip(), re.ASCII) or not path:
        raise InputError(f"{written!r} is no checkpoint; write STEP=PATH, such as 512=out/step512.")
    return int(step), path
