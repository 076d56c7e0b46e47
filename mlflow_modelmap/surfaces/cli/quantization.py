"""Surface: `modelmap quantization`, models beside their quantised copies."""

from __future__ import annotations

import math
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
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(cls=Command, short_help="What quantisation did to each model.")
@selection_options
@vector_option
@option("--perplexity", type=float, default=30.0, show_default=True, help="Of the t-SNE.")
@option(
    "--trials",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Random groups to compare with.",
)
@option("--seed", type=SEED, default=0, show_default=True, help="Of the t-SNE and those groups.")
@exact_options
@where_options
@output_options
def quantization(output: Output, **values: Any) -> None:
    """Compare models with their quantised copies: how far they moved, and whether the same way.

    Score each model in full precision and in int8, nf4 or fp4 first, or its GGUF and other copies
    with --base-model naming it.
    """
    from mlflow_modelmap.drivers.study.quantization import study_quantization

    found = study_quantization(options=options_of(values), progress=output.progress, **values)
    for notice in found.notices:
        output.notice(notice)
    rows = [[r.model, r.precision, f"{r.kl:.4g}", f"{r.se:.2g}"] for r in found.pairs.itertuples()]
    headings = ["model", "precision", "KL (bits/byte)", "SE"]
    if "exact_forward" in found.pairs:
        headings += ["exact", "SE", "reverse", "same top token"]
        for row, pair in zip(rows, found.pairs.itertuples(), strict=True):
            row += [
                f"{pair.exact_forward:.4g}",
                f"{pair.exact_forward_se:.2g}",
                f"{pair.exact_reverse:.4g}",
                f"{100 * pair.exact_top1:.2f} %",
            ]
    lines = [*table(rows, headings)]
    if "exact_forward" in found.pairs:
        ratios = (found.pairs["kl"] / found.pairs["exact_forward"]).dropna()
        if len(ratios):
            lines.append(
                f"The estimate is {ratios.min():.2f} to {ratios.max():.2f} times the exact value "
                "on these copies; expect as much where only the estimate can be had."
            )
    for row in found.alignment.itertuples():
        lines.append(
            f"{row.precision}, {row.model_type}: the changes of {row.models} models have a mean "
            f"cosine similarity of {row.mean:.2f} ("
            + (
                "there are no models of other types to compare with)."
                if math.isnan(row.random_mean)
                else f"random groups of other types: {row.random_mean:.2f})."
            )
        )
    lines.append(f"Run {found.run_id} holds the figures and every pair.")
    result = {
        "run_id": found.run_id,
        "pairs": found.pairs.to_dict("records"),
        "alignment": found.alignment.to_dict("records"),
        "exact_run": found.exact_run,
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id], study=found.run_id)
