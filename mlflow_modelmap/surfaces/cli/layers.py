"""Surface: `modelmap layers`, models across their layers by the logit lens."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    option,
    output_options,
    selection_options,
    table,
    where_options,
)


@click.command(cls=Command, short_help="KL between adjacent layers, by the logit lens.")
@selection_options
@option("--perplexity", type=float, default=30.0, show_default=True, help="Of the t-SNE.")
@option("--seed", type=SEED, default=0, show_default=True, help="Of the t-SNE.")
@where_options
@output_options
def layers(output: Output, **values: Any) -> None:
    """Measure models that were scored with `modelmap score --layers` across their layers."""
    from mlflow_modelmap.drivers.study.layers import study_layers

    found = study_layers(**values)
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (r.model, f"{r.layer_from} to {r.layer}", f"{r.kl:.4g}", f"{r.se:.2g}")
        for r in found.profiles.itertuples()
    ]
    lines = [
        *table(rows, ("model", "layers", "KL (bits/byte)", "SE")),
        f"Run {found.run_id} holds the profiles and trajectories.",
    ]
    result = {
        "run_id": found.run_id,
        "layers": found.profiles.to_dict("records"),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id])
