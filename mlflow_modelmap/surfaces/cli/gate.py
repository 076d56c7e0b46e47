"""Surface: `modelmap gate`, whether a candidate may be released, as an exit code."""

from __future__ import annotations

import functools
import traceback
from typing import Any

import click

from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.surfaces.cli.options import (
    DESTINATION,
    Command,
    Output,
    comma_separated,
    logging_experiment,
    option,
    output_options,
    settings_of,
    settings_options,
    vector_option,
)

LIMITS = "Limits"
SCORES = "Which scores are believed"
ERROR = 3
"""Exit code of whatever is no decision: 1 and 2 are taken."""


class _Failed(click.ClickException):
    exit_code = ERROR


class _Misused(click.UsageError):
    exit_code = ERROR


class DecidingCommand(Command):
    """A command whose exit codes 0 to 2 are decisions, so that every error, also one of usage or
    one that nobody foresaw, exits with 3."""

    def make_context(self, *arguments: Any, **keywords: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **keywords)
        except click.UsageError as error:
            raise _Misused(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except (ModelMapError, click.ClickException) as error:
            raise _Failed(str(error)) from error
        except Exception as error:
            traceback.print_exc()
            raise _Failed(f"No decision, because of the {type(error).__name__} above.") from error


@click.command(
    cls=DecidingCommand, short_help="Pass or fail a candidate by its drift from a reference."
)
@click.argument("candidate")
@option(
    "--reference",
    required=True,
    group="Models and texts",
    help="What the candidate must stay close to, such as models:/name@champion.",
)
@option(
    "--texts",
    required=True,
    group="Models and texts",
    help="Text set: a JSON, JSONL, Parquet or CSV file, a folder, or python-docs.",
)
@option("--max-kl", type=float, group=LIMITS, help="Largest KL divergence, bits/byte.")
@option(
    "--max-bits-per-byte-increase",
    type=float,
    group=LIMITS,
    help="By how much the texts may be predicted worse; below 0 asks for an improvement.",
)
@option(
    "--max-exact-kl",
    type=float,
    group=LIMITS,
    help="Largest exact KL(reference || candidate), bits/byte; both are run once more, and must "
    "share a vocabulary.",
)
@option(
    "--exact",
    is_flag=True,
    group=LIMITS,
    help="Compare the two token by token, without a limit for it.",
)
@option(
    "--exact-texts",
    type=int,
    group=LIMITS,
    help="On how many of the texts, evenly spread; by default all, up to 4 GiB of a file.",
)
@option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    group=LIMITS,
    help="Of the intervals that decide.",
)
@vector_option
@functools.partial(settings_options, without=("layers", "safetensors_only"))
@option(
    "--reference-precision",
    group="Scoring",
    help="Precision of the reference; by default the candidate's, or auto where that is quantised.",
)
@option(
    "--trust-experiment",
    multiple=True,
    callback=comma_separated,
    metavar="NAME",
    group=SCORES,
    help="Believe scores of this experiment too. Repeatable, or separated by commas.",
)
@option(
    "--allow-pickles",
    is_flag=True,
    group="Scoring",
    help="Score a candidate whose weights are there as a pickle only (pytorch_model.bin).",
)
@option("--again", is_flag=True, group=SCORES, help="Score both anew, whatever scores there are.")
@logging_experiment("Experiment to log into; by default the current one.")
@option("--name", group=DESTINATION, help="Name of the gate's run.")
@option(
    "--tag-version",
    is_flag=True,
    group=DESTINATION,
    help="Set the verdict as a tag on the candidate, a models:/name/version.",
)
@output_options
def gate(candidate: str, reference: str, texts: str, output: Output, **values: Any) -> int:
    """Decide whether CANDIDATE is close enough to the reference, and log the decision.

    Both are a model (org/name, a directory, models:/name/1, models:/name@alias), which is scored
    if it is not scored yet, or a score by its run id or name. Scores of the experiment that is
    logged into are believed, and of those that are trusted. At least one limit is needed. A limit
    is met if the whole confidence interval is within it, and broken if it is wholly above.

    Exit codes: 0 pass, 1 fail, 2 undecided (more texts are needed), 3 any error.
    """
    from mlflow_modelmap.drivers.gate.gate import as_json
    from mlflow_modelmap.drivers.gate.gate import gate as decide
    from mlflow_modelmap.scoring.settings import ScoringSettings

    own = (
        *("max_kl", "max_bits_per_byte_increase", "max_exact_kl", "exact", "exact_texts"),
        *("confidence", "reference_precision", "name", "vector"),
    )
    decision = decide(
        candidate,
        reference,
        texts,
        settings=ScoringSettings(**settings_of(values)),
        progress=output.progress,
        trusted=values["trust_experiment"],
        again=values["again"],
        allow_pickles=values["allow_pickles"],
        tag_version=values["tag_version"],
        experiment=values["experiment"],
        **{key: values[key] for key in own},
    )
    lines = [decision.paragraph, f"Run {decision.run_id}"]
    output.tell(as_json(decision), lines, ids=[decision.verdict], study=decision.run_id)
    return decision.exit_code
