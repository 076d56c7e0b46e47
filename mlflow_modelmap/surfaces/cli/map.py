"""Surface: `modelmap map`, scored runs gathered into a model map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    SELECTION,
    Command,
    Output,
    option,
    output_options,
    selection_options,
    texts_option,
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.map.model_map import ModelMap

MAP = "The map"


@click.command(cls=Command, short_help="Gather scored runs into a model map.")
@selection_options
@texts_option
@vector_option
@option("--layers", is_flag=True, group=SELECTION, help="One point for every layer scored.")
@option(
    "--clip",
    type=float,
    group=MAP,
    help="Raise log-likelihoods below this quantile to it; by default none. (`trajectory` takes "
    "0.02, as the paper does along training.)",
)
@option(
    "--per-byte",
    is_flag=True,
    group=MAP,
    help="Leave out differences in proportion to the texts' bytes (texts of unequal length).",
)
@option("--perplexity", type=float, default=30.0, show_default=True, group=MAP, help="Of t-SNE.")
@option("--seed", type=SEED, default=0, show_default=True, group=MAP, help="Of t-SNE.")
@option(
    "--three-dimensions",
    is_flag=True,
    group=MAP,
    help="t-SNE in three dimensions too, for more than 3,000 points.",
)
@option(
    "--colour-by",
    type=click.Choice(["auto", "model_type", "trajectory", "precision"]),
    default="auto",
    show_default=True,
    group=MAP,
    help="What the colours say.",
)
@option(
    "--extend",
    group=MAP,
    metavar="RUN_ID",
    help="A map that the runs are put on; its points stay, and its settings hold.",
)
@where_options
@output_options
def map(output: Output, **values: Any) -> None:
    """Gather scored runs into a model map: KL divergences, neighbours, pictures.

    Without an experiment, a filter or runs, the current experiment's scores are taken.
    """
    from mlflow_modelmap.drivers.map.build_map import build_map

    made = build_map(**values)
    for notice in made.notices:
        output.notice(notice)
    output.tell(_result(made), _lines(made), ids=[made.run_id], study=made.run_id)


def _result(made: ModelMap) -> dict[str, Any]:
    return {
        "run_id": made.run_id,
        "experiment_id": made.experiment_id,
        "name": made.name,
        "points": len(made.points),
        "texts": made.texts,
        "documents": made.documents,
        "text_set": made.text_set,
        "entropy_bound": made.entropy_bound,
        "perplexity": made.perplexity,
        "closest_pairs": made.closest_pairs().to_dict("records"),
        "bits_per_byte": dict(zip(made.points["point"], made.points["bits_per_byte"], strict=True)),
        "notices": list(made.notices),
    }


def _lines(made: ModelMap) -> list[str]:
    from mlflow_modelmap.words.value_and_error import with_error
    from mlflow_modelmap.words.vectors import of_vectors

    name = f" ({made.text_set_name})" if made.text_set_name else ""
    best = made.points.loc[made.points["bits_per_byte"].idxmin(), "point"]
    rows = [
        [
            row.point,
            row.other,
            with_error(row.kl, row.se) + (", within the noise of the scores" * row.within_noise),
            f"{row.bits_per_byte:.4g}",
            f"{row.other_bits_per_byte:.4g}",
            with_error(row.bits_per_byte_difference, row.bits_per_byte_difference_se),
        ]
        for row in made.closest_pairs().itertuples()
    ]
    return [
        f"Model map{of_vectors(made.vector)} of {len(made.points):,} points on {made.texts:,} "
        f"texts{name}",
        f"The texts' entropy is at most {made.entropy_bound:.4f} bits/byte, by {best}",
        "",
        *table(
            rows,
            [
                *("closest pairs", "", "KL ± standard error (bits/byte)"),
                *("bits per byte", "of the other", "difference ± standard error"),
            ],
        ),
        "",
        f"Run {made.run_id} in experiment {made.experiment_id}",
    ]
