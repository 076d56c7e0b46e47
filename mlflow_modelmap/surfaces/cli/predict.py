"""Surface: `modelmap predict`, benchmark scores predicted from the map."""

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
    selection_options,
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table

_SHOWN = 20
_SCORES = "Scores"


@click.command(cls=Command, short_help="Benchmark scores predicted from the map.")
@option(
    "--scores",
    group=_SCORES,
    help="CSV file: a column point (name of a run or model, or run id), then columns of numbers. "
    "Points without one are predicted.",
)
@option(
    "--column",
    "columns",
    multiple=True,
    callback=comma_separated,
    group=_SCORES,
    help="Which columns; by default all. Repeatable, or separated by commas.",
)
@option(
    "--metric",
    "metrics",
    multiple=True,
    callback=comma_separated,
    group=_SCORES,
    help="Metric on the score runs that is a score. Repeatable, or separated by commas.",
)
@selection_options
@vector_option
@option(
    "--groups",
    default="model_type",
    show_default=True,
    metavar="TAG|none",
    help="What is never in training and test at once: runs that share this tag.",
)
@option(
    "--texts",
    help="Only runs on this text set; those texts that carry the prediction are read.",
)
@option(
    "--folds", type=click.IntRange(min=2), default=10, show_default=True, help="Parts of groups."
)
@option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often the groups are divided anew.",
)
@option("--seed", type=SEED, default=0, show_default=True, help="Of those divisions.")
@where_options
@output_options
def predict(output: Output, **values: Any) -> None:
    """Ask whether the map predicts what benchmarks measure.

    Ridge regression on the map's coordinates, tested on groups that it did not see: r and RMSE with
    intervals, beside bits per byte alone; predictions for points without a score; the texts that
    carry it.
    """
    from mlflow_modelmap.drivers.study.prediction import predict as run
    from mlflow_modelmap.numerics.prediction.predicted import in_words

    found = run(**values)
    for notice in found.notices:
        output.notice(notice)
    rows = [
        (
            r.benchmark,
            r.predictor,
            None if math.isnan(r.r) else f"{r.r:.2f}",
            None if math.isnan(r.r) else f"{r.r_low:.2f} to {r.r_high:.2f}",
            f"{r.rmse:.3g}",
            f"{r.rmse_low:.3g} to {r.rmse_high:.3g}",
        )
        for r in found.skill.itertuples()
    ]
    lines = [*table(rows, ("score", "predicted by", "r", "95 %", "RMSE", "95 %"))]
    said = {name: in_words(part) for name, part in found.skill.groupby("benchmark", sort=False)}
    lines += [f"{name}: {words}" for name, words in said.items()]
    new = found.predictions[~found.predictions["out_of_fold"]]
    if len(new):
        shown = [
            (r.benchmark, r.point, f"{r.predicted:.3g}", f"{r.low:.3g} to {r.high:.3g}")
            for r in new.head(_SHOWN).itertuples()
        ]
        lines += table(shown, ("score", "point without one", "predicted", "95 %"))
        if len(new) > _SHOWN:
            lines.append(f"... and {len(new) - _SHOWN} more.")
    lines.append(f"Run {found.run_id} holds the figure, every prediction and the texts' weights.")
    result = {
        "run_id": found.run_id,
        "skill": found.skill.to_dict("records"),
        "in_words": said,
        "predictions": found.predictions.to_dict("records"),
        "texts": found.texts.to_dict("records"),
        "notices": list(found.notices),
    }
    output.tell(result, lines, ids=[found.run_id])
