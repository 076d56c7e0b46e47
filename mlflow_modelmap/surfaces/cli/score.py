"""Surface: `modelmap score`, one model as one MLflow run."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    logging_experiment,
    option,
    output_options,
    settings_of,
    settings_options,
)

POINT = "What the run says of the model"
RUN = "Where it is logged"


@click.command(cls=Command, short_help="Score one model as an MLflow run.")
@click.argument("model")
@option(
    "--texts",
    required=True,
    group="Texts",
    help="Text set: a JSON, JSONL, Parquet or CSV file, a folder, or python-docs.",
)
@option(
    "--column",
    default="text",
    show_default=True,
    group="Texts",
    help="Column or field of the text in that file; dots lead into nested fields.",
)
@option("--revision", group="Model", help="Branch, tag or commit on the Hugging Face Hub.")
@option("--base", group="Model", help="What an adapter is applied to; by default what it names.")
@settings_options
@option("--trajectory", group=POINT, help="The training that the model is a checkpoint of.")
@option("--step", type=int, group=POINT, help="Its training step.")
@option("--model-type", group=POINT, help="Its family; by default what its configuration says.")
@option("--base-model", group=POINT, help="What it was made from.")
@option("--name", group=POINT, help="The run's name; by default made from the model's.")
@logging_experiment("Experiment to log into; by default the current one.", RUN)
@option("--run-id", group=RUN, help="An open run to log into, instead of a new one.")
@option("--again", is_flag=True, group=RUN, help="Score even if the same score is there already.")
@output_options
def score(model: str, texts: str, column: str, output: Output, **values: Any) -> None:
    """Score MODEL on a text set and log its log-likelihood vector as an MLflow run.

    MODEL is org/name, org/name@revision, a local directory, a GGUF file (file.gguf,
    org/name/file.gguf), models:/name/1, models:/name@alias or runs:/RUN_ID/path. A score that is
    there already is found and not made again.
    """
    from mlflow_modelmap.drivers.score.request import PointFields
    from mlflow_modelmap.drivers.score.score import score as score_model
    from mlflow_modelmap.drivers.score.score_into import as_result
    from mlflow_modelmap.scoring.model.hub import asked_for
    from mlflow_modelmap.scoring.model.reference import ModelReference
    from mlflow_modelmap.scoring.settings import ENDPOINT
    from mlflow_modelmap.tracking.runs.unit_of_texts import unit_of

    if values["engine"] != ENDPOINT:
        with contextlib.suppress(InputError):  # scoring says it, in the run that it is for
            told = asked_for(ModelReference.parse(model, values["revision"]))
            if told is not None:
                output.notice(told)
    point = ("revision", "base", "name", *PointFields.model_fields)
    scored = score_model(
        model,
        texts,
        column=column,
        **settings_of(values),
        **{key: values[key] for key in point},
        experiment=values["experiment"],
        run_id=values["run_id"],
        again=values["again"],
        progress=output.progress,
    )
    lines = [
        f"{scored.name}: {scored.bits_per_byte:.4f} bits per byte on "
        f"{len(scored.log_likelihoods):,} {unit_of(scored.run_id)}",
    ]
    if scored.skipped:
        lines.append(f"Run {scored.run_id} holds this score already (--again scores it anew).")
    else:
        speed = f", {scored.tokens_per_second:,.0f} tokens/s" if scored.tokens_per_second else ""
        lines.append(f"Run {scored.run_id}{speed}")
    output.tell(as_result(scored), lines, ids=[scored.run_id])
    for notice in scored.notices:
        output.notice(notice)
