"""Surface: `modelmap texts build`, `describe`, `log`, `list` and `resample`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    logging_experiment,
    option,
    output_options,
)
from mlflow_modelmap.surfaces.cli.tables import table

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.map.resample import Resampled
    from mlflow_modelmap.texts.describe import Description

READ = "How sources are read"
KEEP = "What is kept"
DATASET = "A Hugging Face dataset (needs mlflow-modelmap[datasets])"
CHOICE = "Which texts are chosen"


@click.group(short_help="Build, describe, share and shorten text sets.")
def texts() -> None:
    """Build, describe, share and shorten text sets: the texts on which models are compared."""


def _reading_options(function: Any) -> Any:
    function = option(
        "--turns",
        type=click.Choice(("last", "every")),
        default="last",
        show_default=True,
        group=READ,
        help="Of chats: which turns of the assistant are responses.",
    )(function)
    for name, help_text, default in (
        ("--domain-column", "Column or field of the domain; by default domain, if there.", None),
        ("--column", "Column or field of the text; dots lead into nested fields.", "text"),
    ):
        function = option(
            name, default=default, show_default=default is not None, group=READ, help=help_text
        )(function)
    return function


@texts.command(cls=Command, short_help="Build a text set from files, folders or a dataset.")
@click.argument("sources", nargs=-1)
@option("-o", "--out", required=True, help="File to write: .jsonl, or .json for a bare list.")
@_reading_options
@option(
    "--chunk-bytes",
    type=int,
    group=READ,
    help="Cut every text at so many bytes; by default raw text at 1,024, records not at all.",
)
@option("--dataset", group=DATASET, help="Its name on the Hub, or a local folder.")
@option("--dataset-config", group=DATASET, help="Its configuration (subset).")
@option("--split", default="train", show_default=True, group=DATASET, help="Its split.")
@option("--dataset-revision", group=DATASET, help="Branch, tag or commit of the dataset.")
@option("--rows", type=int, group=DATASET, help="Read only so many rows; by default all.")
@option("--size", type=int, group=KEEP, help="Keep a sample of so many texts; by default all.")
@option("--seed", type=int, default=0, show_default=True, group=KEEP, help="Of the sample.")
@option(
    "--min-bytes",
    type=int,
    default=1,
    show_default=True,
    group=KEEP,
    help="Leave out texts shorter than so many.",
)
@option(
    "--duplicates",
    type=click.Choice(("error", "drop", "keep")),
    default="error",
    show_default=True,
    group=KEEP,
    help="What to do with a text that occurs again.",
)
@option("--drop-empty", is_flag=True, group=KEEP, help="Leave out empty texts.")
@output_options
def build(sources: tuple[str, ...], out: str, output: Output, **values: Any) -> None:
    """Build a text set from SOURCES, in their order, and write it to a file.

    A source is a JSON list of strings, JSONL with a text a line, a Parquet, CSV or TSV file, a
    plain text file or a folder of them, or python-docs, the documentation that ships with Python.
    """
    from mlflow_modelmap.texts.build import build_texts
    from mlflow_modelmap.texts.describe import describe as described
    from mlflow_modelmap.texts.sources.hub_dataset import read_dataset
    from mlflow_modelmap.texts.write import check_output, write_texts

    path = check_output(out)
    dataset = values.pop("dataset")
    about = {name: values.pop(name) for name in ("dataset_config", "dataset_revision", "split")}
    rows = values.pop("rows")
    if not sources and not dataset:
        raise InputError("No sources were given; name files, folders, python-docs, or a --dataset.")
    if rows is not None and rows < 1:
        raise InputError(f"--rows is {rows}; give 1 or more.")
    records = (
        read_dataset(
            dataset,
            config=about["dataset_config"],
            split=about["split"],
            revision=about["dataset_revision"],
            rows=rows,
            column=values["column"],
            domain_column=values["domain_column"],
            turns=values["turns"],
        )
        if dataset
        else ()
    )
    built = build_texts(sources, name=path.stem, rows=records, **values)
    write_texts(built.text_set, path)
    description = described(built.text_set)
    left_out = {"found": built.found, "left_out": built.left_out, "dropped": built.duplicates}
    if built.left_out or built.duplicates:
        output.notice(
            f"of {built.found:,} texts, {built.left_out:,} empty or short ones and "
            f"{built.duplicates:,} duplicates were left out."
        )
    output.tell(
        {"file": str(path), **asdict(description), **left_out},
        [f"Wrote {path}", *_lines(description)],
        ids=[description.digest],
    )


@texts.command(cls=Command, short_help="Say how many texts, bytes and domains a text set has.")
@click.argument("source")
@_reading_options
@option("--allow-duplicates", is_flag=True, group=READ, help="A text may occur twice.")
@output_options
def describe(source: str, output: Output, **values: Any) -> None:
    """Say how many texts, bytes and domains a text set has, and its digest.

    SOURCE is what `modelmap score --texts` takes.
    """
    from mlflow_modelmap.drivers.score.texts import load_texts
    from mlflow_modelmap.texts.describe import describe as described

    description = described(load_texts(source, **values))
    output.tell(asdict(description), _lines(description), ids=[description.digest])


@texts.command(cls=Command, short_help="Put a text set into the MLflow store.")
@click.argument("source")
@_reading_options
@option("--allow-duplicates", is_flag=True, group=READ, help="A text may occur twice.")
@option("--name", help="What to call it; by default the file's name without its ending.")
@logging_experiment("Experiment to log into; by default the current one.", "Options")
@output_options
def log(source: str, output: Output, **values: Any) -> None:
    """Put a text set into the MLflow store, where everybody who has the store can name it.

    SOURCE is what `modelmap score --texts` takes. From then on --texts takes runs:/ID, the set's
    name or its digest, wherever texts are named; what is read is held against the digest.
    """
    from mlflow_modelmap.drivers.score.texts import load_texts, log_texts, shortest_name
    from mlflow_modelmap.texts.describe import describe as described

    uri = log_texts(source, **values)
    description = described(load_texts(uri))
    output.tell(
        {"texts_uri": uri, **asdict(description)},
        [
            *_lines(description),
            f"In the store: --texts {uri}, or --texts {shortest_name(description.name)!r}",
        ],
        ids=[uri],
    )


@texts.command("list", cls=Command, short_help="The text sets in the MLflow store.")
@output_options
def list_texts(output: Output) -> None:
    """List the text sets that were put into the MLflow store, the latest first."""
    from mlflow_modelmap.tracking.runs.stored_texts import stored_texts
    from mlflow_modelmap.tracking.store.client import check_reachable

    found = stored_texts(check_reachable())
    rows = [(one.name, one.texts, one.size, one.digest[:12], one.uri) for one in found]
    lines = [*table(rows, ("name", "texts", "bytes", "digest", "--texts"))]
    if not found:
        lines = ["There are none; `modelmap texts log FILE` puts one there."]
    output.tell(
        {"text_sets": [{"texts_uri": one.uri, **asdict(one)} for one in found]},
        lines,
        ids=[one.uri for one in found],
    )


@texts.command(cls=Command, short_help="Choose few texts that tell models apart, with weights.")
@option("--run-id", required=True, group=CHOICE, help="The run of a map of the whole text set.")
@option(
    "--size",
    type=click.IntRange(min=1),
    required=True,
    group=CHOICE,
    help="How many texts to keep.",
)
@option(
    "--method",
    type=click.Choice(("kl", "length-squared", "uniform")),
    default="kl",
    show_default=True,
    group=CHOICE,
    help="Smallest errors of KL; squared length in the map's coordinates; at random.",
)
@option("--texts", group=CHOICE, help="The map's text set; by default where its runs read it from.")
@option("--seed", type=SEED, default=0, show_default=True, group=CHOICE, help="Of the choice.")
@option("-o", "--out", required=True, help="File to write: .jsonl.")
@output_options
def resample(run_id: str, size: int, out: str, output: Output, **values: Any) -> None:
    """Choose the texts of a map's text set that tell its models apart, and write them with weights.

    KL divergences measured on them estimate those on all texts, with smaller errors than on as many
    texts chosen at random.
    """
    from mlflow_modelmap.drivers.map.resample import resample_texts
    from mlflow_modelmap.texts.describe import describe as described
    from mlflow_modelmap.texts.write import check_output, write_texts

    path = check_output(out)
    if path.suffix.lower() != ".jsonl":
        raise InputError(f"{out!r} has no room for weights; give a file name that ends in .jsonl.")
    found = resample_texts(run_id, size, name=path.stem, **values)
    write_texts(found.text_set, path)
    description = described(found.text_set)
    about = {
        name: getattr(found, name)
        for name in (
            "of",
            "method",
            "variance_ratio",
            "relative_error",
            "relative_error_before",
            "largest_weight",
        )
    }
    output.tell(
        {"file": str(path), **asdict(description), **about},
        [f"Wrote {path}", *_lines(description), *_accuracy(found)],
        ids=[description.digest],
    )


def _accuracy(found: Resampled) -> Iterator[str]:
    yield f"weights     mean 1, largest {found.largest_weight:.2f}"
    size = len(found.text_set)
    yield (
        f"accuracy    a KL of the map has a standard error of {100 * found.relative_error:.1f} % "
        f"(median) on these {size:,} texts,"
    )
    yield f"            {100 * found.relative_error_before:.1f} % on all {found.of:,}"
    if found.method != "uniform":
        yield (
            f"            variance foretold: {found.variance_ratio:.2f} times that of {size:,} "
            "texts chosen at random"
        )


def _lines(description: Description) -> Iterator[str]:
    yield f"name        {description.name}"
    yield f"texts       {description.texts:,}"
    yield (
        f"bytes       {description.bytes:,} (mean {description.mean_bytes:,.1f}, "
        f"from {description.shortest:,} to {description.longest:,})"
    )
    if description.duplicates:
        yield f"duplicates  {description.duplicates:,}"
    if description.weighted:
        yield "weights     yes"
    if description.documents is not None:
        yield f"documents   {description.documents:,}"
    if description.prompts is not None:
        yield f"prompts     {description.prompts:,}; bytes are those of the responses"
    yield f"digest      {description.digest}"
    for number, (domain, count) in enumerate(description.domains.items()):
        yield f"{'domains' if number == 0 else '':<12}{domain}: {count:,}"
