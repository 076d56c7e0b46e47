"""Surface: `modelmap lineage`, parents and children among registered and scored models."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    option,
    output_options,
    selection_options,
    settings_of,
    settings_options,
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table
from mlflow_modelmap.words.value_and_error import with_error

REGISTRY = "Which registered models"
DOES = "What is done"


@click.command(
    cls=Command, short_help="What each model did to its parent, and whether that is its parent."
)
@option(
    "--registered-models",
    group=REGISTRY,
    metavar="FILTER",
    help="Such as \"name LIKE 'team-%'\"; all versions take part.",
)
@selection_options
@vector_option
@option("--texts", group=DOES, help="Text set on which models without a score are scored.")
@option("--no-score", is_flag=True, group=DOES, help="Only name the models without a score.")
@option(
    "--no-hub",
    is_flag=True,
    group=DOES,
    help="Ask the Hub for nothing: neither who was made from whom, nor parents to score.",
)
@option("--no-tags", is_flag=True, group=DOES, help="Write no tags on model versions.")
@option(
    "--exact",
    is_flag=True,
    group=DOES,
    help="Also compare each child with its parent token by token, where they share a vocabulary.",
)
@option("--seed", type=SEED, default=0, show_default=True, group=DOES, help="Of the t-SNE.")
@where_options
@settings_options
@output_options
def lineage(
    output: Output,
    no_score: bool,
    no_hub: bool,
    no_tags: bool,
    **values: object,
) -> None:
    """Measure KL divergence from each model to its parent, and compare claims with measurements.

    Parents are those named by the tag base_model of a model version, registered model or run,
    else those that MLflow's own links or the Hub's metadata show. Each model version is tagged
    with its KL to the parent.
    """
    from mlflow_modelmap.drivers.lineage.lineage import lineage as measure
    from mlflow_modelmap.scoring.settings import ScoringSettings

    settings = settings_of(values)
    ScoringSettings(**settings)  # refused now, not at the first model without a score
    found = measure(
        score=not no_score,
        hub=not no_hub,
        write_tags=not no_tags,
        settings=settings,
        progress=output.progress,
        **{name: value for name, value in values.items() if name not in settings},  # type: ignore[arg-type]
    )
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (
            f"{row.child} = {row.also}" if row.also else row.child,
            None if row.generation is None else str(row.generation),
            row.parent,
            None if row.kl is None else f"{row.kl:.4g} ± {row.se:.2g}",
            row.nearest,
            row.verdict,
            *([_exact(row)] if "exact_forward" in found.table else []),
        )
        for row in found.table.astype(object).where(found.table.notna(), None).itertuples()
    ]
    headings = ["model", "generation", "parent", "KL", "nearest", "verdict"]
    headings += ["exact KL(parent || child)"] if "exact_forward" in found.table else []
    lines = list(table(rows, headings))
    said = found.agreement
    if said.claimed:
        lines.append(
            f"Of {said.claimed} claimed parents {said.nearest} are the nearest candidate and "
            f"{said.spanning} are neighbours in the minimum spanning tree"
            + ("" if math.isnan(said.steps) else f" ({said.steps:.2f} steps apart on average)")
            + f"; {said.joined} of {said.families} families are a branch of the tree by neighbour "
            "joining."
        )
    lines.append(f"KL divergence in bits/byte. Run {found.run_id} holds the figures.")
    result = {
        "run_id": found.run_id,
        "lineage": found.table.astype(object).where(found.table.notna(), None).to_dict("records"),
        "agreement": asdict(said),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id], study=found.run_id)


def _exact(row: Any) -> str | None:
    if row.exact_forward is None:
        return None
    return with_error(row.exact_forward, row.exact_forward_se)
