"""Surface: `modelmap import`, vectors (or distances of weights) from a file as runs."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    logging_experiment,
    option,
    output_options,
)

TEXTS = "What was scored"
SAYS = "What the file does not say itself"
WEIGHTS = "Distances of weights"
WHERE = "Where it is logged"
_OF_VECTORS = (
    *("texts", "names", "keys", "types", "parents", "revision_format", "precision"),
    *("model_type", "seed", "made_as"),
)


@click.command("import", cls=Command, short_help="Make vectors from a file points of a map.")
@click.argument("file")
@option(
    "--texts",
    group=TEXTS,
    help="The texts that were scored; not needed for a file that modelmap export wrote.",
)
@option(
    "--names",
    group=SAYS,
    help="File with the names of an array's rows: a JSON list, or one a line.",
)
@option(
    "--keys",
    metavar="step|layer",
    group=SAYS,
    help="What the numbers within each name of a pickle are.",
)
@option("--types", group=SAYS, help="JSON file with the model type of each name.")
@option("--parents", group=SAYS, help="JSON file with the parent (or parents) of each name.")
@option(
    "--model-format",
    group=SAYS,
    help="What models are called, {} for a name in the file: 'EleutherAI/pythia-{}'.",
)
@option(
    "--revision-format",
    group=SAYS,
    help="What the revision of a training step is called, {} for the step: 'step{}'.",
)
@option("--precision", group=SAYS, help="Number format of all weights, such as float16 or fp4.")
@option("--model-type", group=SAYS, help="Family of all models.")
@option(
    "--seed",
    group=SAYS,
    help="Tag seed of models whose name does not end in seed and a number.",
)
@option("--weights", is_flag=True, group=WEIGHTS, help="Read distances of weights, not vectors.")
@option("--steps", group=WEIGHTS, help="The step of each row: a file, or pythia for its 154.")
@option(
    "--as",
    "made_as",
    metavar="runs|vectors",
    group=WHERE,
    help="A score run a point, or one run of all points; by default runs up to 100 points.",
)
@option("--name", group=WHERE, help="Name of the one run; by default that of the file.")
@logging_experiment("Experiment to log into; by default the current one.", WHERE)
@option("--again", is_flag=True, group=WHERE, help="Import even if the same is there already.")
@output_options
def import_(
    file: str, output: Output, weights: bool, steps: str | None, again: bool, **values: Any
) -> None:
    """Make the log-likelihood vectors in FILE points that every study reads.

    FILE is .npz, .parquet, .csv, .npy, or a pickle of arrays (.pkl) as the paper's authors release
    them, which is read without running anything. Up to 100 points each become a score run; more, or
    layers, become one run that counts as as many points.
    """
    if weights:
        _weights(file, output, steps, values)
        return
    if steps:
        raise InputError("--steps is for distances of weights; give --weights with it.")
    from mlflow_modelmap.drivers.exchange.import_vectors import import_vectors

    made = import_vectors(file, again=again, progress=output.progress, **values)
    for notice in made.notices:
        output.notice(notice)
    one = made.made_as == "vectors"
    if made.found:
        there = (
            "All of it was"
            if one or made.found == made.points
            else f"{made.found:,} of the {made.points:,} points were"
        )
        output.notice(
            f"{there} there already, with the same numbers; --again imports it once more."
        )
    what = f"{made.points:,} point{'' if made.points == 1 else 's'} on {made.texts:,} texts"
    of = f"run {made.run_ids[0]}" if one else f"{len(made.run_ids):,} score runs"
    lines = [
        f"{what} as {of} in the experiment {made.experiment!r}",
        f"text set  {made.text_set_name or 'unnamed'} ({made.text_set})",
    ]
    output.tell(
        {
            "run_ids": list(made.run_ids),
            "as": made.made_as,
            "points": made.points,
            "texts": made.texts,
            "found": made.found,
            "experiment": made.experiment,
            "text_set": made.text_set,
            "text_set_name": made.text_set_name,
            "notices": list(made.notices),
        },
        lines,
        ids=made.run_ids,
    )


def _weights(file: str, output: Output, steps: str | None, values: dict[str, Any]) -> None:
    from mlflow_modelmap.drivers.exchange.import_weights import import_weights

    beside = [name for name in _OF_VECTORS if values[name]]
    if beside:
        said = "--as" if beside[0] == "made_as" else f"--{beside[0].replace('_', '-')}"
        raise InputError(f"{said} is for vectors, and --weights reads none; leave one of them out.")
    made = import_weights(
        file,
        steps=steps,
        model_format=values["model_format"],
        name=values["name"],
        experiment=values["experiment"],
    )
    output.tell(
        {
            "run_id": made.run_id,
            "distances": made.distances,
            "trajectories": list(made.trajectories),
        },
        [
            f"{made.distances:,} distances of {len(made.trajectories)} "
            f"{'trajectory' if len(made.trajectories) == 1 else 'trajectories'} as run "
            f"{made.run_id}; give it as --weights-run."
        ],
        ids=[made.run_id],
    )
