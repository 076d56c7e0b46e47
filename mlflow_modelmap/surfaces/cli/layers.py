"""Surface: `modelmap layers`, models across their layers by the logit lens."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.exact_options import exact_options, options_of
from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    option,
    output_options,
    selection_options,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(cls=Command, short_help="KL between adjacent layers, by the logit lens.")
@selection_options
@option("--perplexity", type=float, default=30.0, show_default=True, help="Of the t-SNE.")
@option("--seed", type=SEED, default=0, show_default=True, help="Of the t-SNE.")
@exact_options
@where_options
@output_options
def layers(output: Output, **values: Any) -> None:
    """Measure models that were scored with `modelmap score --layers` across their layers.

    With --exact each model is run once more, and what each layer expects at every token is
    compared with what the model expects; no file is kept for that.
    """
    from mlflow_modelmap.drivers.study.layers import study_layers

    found = study_layers(options=options_of(values), progress=output.progress, **values)
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (r.model, f"{r.layer_from} to {r.layer}", f"{r.kl:.4g}", f"{r.se:.2g}")
        for r in found.profiles.itertuples()
    ]
    lines = [
        *table(rows, ("model", "layers", "KL (bits/byte)", "SE")),
        *_exact_lines(found.exact),
        f"Run {found.run_id} holds the profiles and trajectories.",
    ]
    result = {
        "run_id": found.run_id,
        "layers": found.profiles.to_dict("records"),
        "exact": None if found.exact is None else found.exact.to_dict("records"),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id], study=found.run_id)


def _exact_lines(exact: Any) -> list[str]:
    if exact is None:
        return []
    rows = [
        (
            r.model,
            r.layer,
            f"{r.forward:.4g}",
            f"{r.forward_se:.2g}",
            f"{r.reverse:.4g}",
            f"{r.js:.4g}",
            f"{100 * r.top1:.2f} %",
        )
        for r in exact.itertuples()
    ]
    tokens, texts = int(exact["tokens"].max()), int(exact["texts"].max())
    headings = ("model", "layer", "exact KL", "SE", "reverse", "JS", "same top token")
    return [
        "",
        f"Exact, over {tokens:,} tokens of {texts:,} texts: KL(last layer || layer), bits/byte",
        *table(rows, headings),
        "",
    ]
