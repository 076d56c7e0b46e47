"""Surface: `modelmap identify`, what on a map a model is near."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.map_options import map_options
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    output_options,
    settings_of,
    settings_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(cls=Command, short_help="What on a map a model is near.")
@click.argument("model")
@map_options
@settings_options
@output_options
def identify(model: str, map_run: str, output: Output, **values: Any) -> None:
    """Say what on a map MODEL is near, of which family, and what its parent may be.

    MODEL is a run id, the name of a score, or a model reference; it is scored on the map's texts if
    it is not yet. The map stays as it is.
    """
    from mlflow_modelmap.drivers.lineage.identify import identify as identify_model
    from mlflow_modelmap.scoring.settings import ScoringSettings
    from mlflow_modelmap.words.value_and_error import with_error

    found = identify_model(
        model,
        map_run,
        texts=values["texts"],
        settings=ScoringSettings(**settings_of(values)),
        experiment=values["experiment"],
        progress=output.progress,
    )
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (
            of.point,
            with_error(of.kl, of.se),
            with_error(of.gap, of.gap_se) if of.Index else "",
            "yes" if of.as_near else "no",
            of.model_type if isinstance(of.model_type, str) else None,
        )
        for of in found.nearest.itertuples()
    ]
    families = ", ".join(f"{name} ({count})" for name, count in found.families.items())
    lines = [
        f"{found.name}, run {found.run_id}",
        "",
        *table(rows, ("nearest", "KL ± standard error", "farther by", "as near", "family")),
        "",
        f"Families of these: {families or 'not known'}",
    ]
    if found.none_of_these:
        lines.append(
            "None of these: it is farther from all points than every point of the map is from its "
            "nearest."
        )
    else:
        as_near = int(found.nearest["as_near"].sum()) - 1
        also = f"; {as_near} more are as near within the errors" if as_near else ""
        lines += [f"Likely parent, if it has one here: {found.likely_parent}{also}", found.trust]
    output.tell(found.as_json(), lines, ids=[found.likely_parent or "none"])
