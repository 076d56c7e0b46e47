"""Surface: `modelmap scale`, KL divergence by setting beside the paper's."""

from __future__ import annotations

import math
from typing import Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    comma_separated,
    option,
    output_options,
    preprocessing_options,
    selection_options,
    texts_option,
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@click.command(cls=Command, short_help="KL divergence by setting, beside the paper's scale.")
@selection_options
@texts_option
@vector_option
@option(
    "--group",
    "groups",
    multiple=True,
    callback=comma_separated,
    metavar="TAG",
    help="Tag whose values make groups: pairs that share one. Repeatable, or separated by commas.",
)
@option(
    "--most-random",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    help="Most random pairs drawn.",
)
@option("--seed", type=SEED, default=0, show_default=True, help="Of that draw.")
@preprocessing_options(0.0, 0.0, "Groups along training", " (Later, Early, Seed, Size)")
@where_options
@output_options
def scale(
    output: Output, groups: tuple[str, ...], clip: float, drop_texts: float, **values: Any
) -> None:
    """Measure each setting of the paper's scale that the scored runs hold.

    Later and early checkpoints, seeds, sizes, 8-bit, 4-bit, fine-tunes, within a type, at random,
    adjacent layers: whichever have pairs among the runs. Beside the paper's, groups along
    training take --clip 0.02 --drop-texts 0.03 (the defaults of `trajectory`).
    """
    from mlflow_modelmap.drivers.study.scale import build_scale
    from mlflow_modelmap.numerics.scale.paper_scale import OF_SET_UP, SET_UP_NOTE

    found = build_scale(groups=groups, clip=clip or None, drop_texts=drop_texts or None, **values)
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (r.group, *map(_short, (r.median, r.mean, r.sd)), r.n, _short(r.paper_median))
        for r in found.table.itertuples()
    ]
    note = SET_UP_NOTE if set(OF_SET_UP) & set(found.table["group"]) else None
    lines = [
        *table(rows, ("setting", "median", "mean", "SD", "pairs", "paper's median")),
        *([note] if note else []),
        f"KL divergence in bits/byte. Run {found.run_id} holds the figure and every pair.",
    ]
    result = {
        "run_id": found.run_id,
        "scale": found.table.to_dict("records"),
        "notices": list(found.notices),
        "note": note,
    }
    output.tell(result, lines, ids=[found.run_id], study=found.run_id)


def _short(value: float) -> str | None:
    return None if math.isnan(value) else f"{value:.3g}"
