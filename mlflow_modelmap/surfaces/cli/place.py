"""Surface: `modelmap place`, models put on a map that is there."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.map_options import MAP, map_options
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    option,
    output_options,
    settings_of,
    settings_options,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(cls=Command, short_help="Put models on a map that is there.")
@click.argument("models", nargs=-1, required=True)
@map_options
@option(
    "--colour-by",
    type=click.Choice(["auto", "model_type", "trajectory", "precision"]),
    default="auto",
    show_default=True,
    group=MAP,
    help="What the colours say.",
)
@settings_options
@where_options
@output_options
def place(models: tuple[str, ...], map_run: str, output: Output, **values: Any) -> None:
    """Put MODELS on a map, whose own points stay where they are, as a new map run.

    Each of MODELS is a run id, the name of a score, or a model reference; what is not scored on the
    map's texts is scored. Only the new points' KL are computed.
    """
    from mlflow_modelmap.drivers.map.place import place_on_map
    from mlflow_modelmap.scoring.settings import ScoringSettings
    from mlflow_modelmap.words.value_and_error import with_error

    made = place_on_map(
        models,
        map_run,
        texts=values["texts"],
        settings=ScoringSettings(**settings_of(values)),
        experiment=values["experiment"],
        colour_by=values["colour_by"],
        name=values["name"],
        output_experiment=values["output_experiment"],
        progress=output.progress,
    )
    for notice in made.notices:
        output.notice(notice)
    assert made.placed is not None
    rows = [
        (
            of.point,
            of.nearest,
            with_error(of.nearest_kl, of.nearest_se),
            f"{of.farther_than:.0%}",
            f"{of.neighbours_kept:.0%}",
            f"{of.components_kept:.0%}",
        )
        for of in made.placed.itertuples()
    ]
    headings = ("placed", "nearest point", "KL ± standard error (bits/byte)")
    fits = ("farther than", "neighbours kept", "shown by PCA")
    output.tell(
        {
            "run_id": made.run_id,
            "experiment_id": made.experiment_id,
            "name": made.name,
            "map_run": map_run,
            "points": len(made.points),
            "placed": made.placed.to_dict("records"),
            "notices": list(made.notices),
        },
        [
            *table(rows, (*headings, *fits)),
            "",
            "farther than: the share of the map's points that are nearer to their nearest point;",
            "neighbours kept: of its ten nearest points, those among its ten nearest in the t-SNE.",
            f"Run {made.run_id} in experiment {made.experiment_id}, {len(made.points):,} points",
        ],
        ids=[made.run_id],
        study=made.run_id,
    )
