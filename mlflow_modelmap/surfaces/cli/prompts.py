"""Surface: `modelmap prompts`, the same models under several prompts."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from mlflow_modelmap.surfaces.cli.options import (
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
from mlflow_modelmap.words.shortened import shortened

_SHOWN = 40


@click.command(cls=Command, short_help="What prompts do to each model.")
@selection_options
@texts_option
@vector_option
@option(
    "--reference",
    metavar="PROMPT",
    help="The prompt that shifts are from: a system's message, or a name in the table; by default "
    "what models make of the prompts by themselves.",
)
@where_options
@output_options
def prompts(output: Output, **values: Any) -> None:
    """Compare models with themselves under other system prompts or templates.

    How far each prompt moves a model (KL), whether it moves models the same way, and whether the
    shift of two prompts put together is the sum of theirs. Score each model on a prompt-response
    set with --system-prompt or --template first, each time under a --name of its own.
    """
    from mlflow_modelmap.drivers.study.prompts import mean_cosines, study_prompts

    found = study_prompts(**values)
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (
            shortened(r.model, 40),
            shortened(r.prompt, 60),
            f"{r.kl:.4g}",
            f"{r.se:.2g}",
            f"{r.bits_change:+.4f}",
            f"{r.bits_change_se:.2g}",
        )
        for r in found.shifts.head(_SHOWN).itertuples()
    ]
    headings = ("model", "prompt", "KL (bits/byte)", "SE", "change in bits/byte", "SE")
    lines = [*table(rows, headings)]
    if len(found.shifts) > _SHOWN:
        lines.append(f"... and {len(found.shifts) - _SHOWN} more.")
    means = mean_cosines(found.cosines)
    for relation, row in means.iterrows():
        what = {
            "same prompt": "two models under the same prompt",
            "same model": "one model under two prompts",
        }.get(str(relation), "two models under two prompts")
        count = int(row["pairs"])
        lines.append(
            f"Cosine of the shifts of {what}: {row['mean']:.2f}"
            + (f" (mean of {count} pairs)." if count > 1 else ".")
        )
    for r in found.additivity.head(_SHOWN).itertuples():
        parts = shortened(" + ".join(json.loads(r.parts)), 120)
        lines.append(
            f"{shortened(r.model, 40)}, {shortened(r.prompt, 60)!r}: the sum of its parts' shifts "
            f"({parts}) leaves {_share(r.unexplained, r.unexplained_se)} of the KL "
            f"unexplained, its best part alone {_share(r.unexplained_by_one)}; cosine of the "
            f"sum with the measured shift {r.cosine:.2f}, KL predicted {r.kl_predicted:.4g}, "
            f"measured {r.kl:.4g}."
        )
    lines.append(f"Run {found.run_id} holds the figures, every shift and the vectors.")
    result = {
        "run_id": found.run_id,
        "shifts": found.shifts.to_dict("records"),
        "cosines": found.cosines.to_dict("records"),
        "additivity": found.additivity.to_dict("records"),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id], study=found.run_id)


def _share(value: float, error: float | None = None) -> str:
    shown = f"{100 * value:.0f} %"
    if error is None or math.isnan(error):
        return shown
    return f"{100 * value:.0f} ± {100 * error:.0f} %"
