"""Surface: the options that commands share, and what makes all of them take '' for "not given"."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import click

from mlflow_modelmap.drivers.process.stopping import stoppable
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.strict import OneOf
from mlflow_modelmap.surfaces.cli.look import look
from mlflow_modelmap.words.json_values import finite
from mlflow_modelmap.words.near import did_you_mean
from mlflow_modelmap.words.vectors import CONDITIONAL, VECTORS

Function = TypeVar("Function", bound=Callable[..., Any])
OUTPUT = "Output"
SEED = click.IntRange(0, 2**32 - 1)
"""What numpy, scikit-learn and Python all take for a seed."""


class Option(click.Option):
    """An option for which the empty string means "not given", as an MLproject passes it.

    Parameters
    ----------
    group
        Heading under which the help lists it.
    """

    def __init__(self, *arguments: Any, group: str = "Options", **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.group = group

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        given = opts.get(self.name or "")
        if isinstance(given, str) and not given.strip():
            opts = {name: value for name, value in opts.items() if name != self.name}
        elif isinstance(given, list):
            kept = [value for value in given if value != ""]
            opts = {**opts, self.name or "": kept}
            if not kept:
                opts.pop(self.name or "")
        return super().handle_parse_result(ctx, opts, args)

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """As click does; of a value that is no choice, also what may have been meant."""
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            if not isinstance(self.type, click.Choice) or not isinstance(value, str):
                raise
            meant = did_you_mean(value, map(str, self.type.choices))
            raise click.BadParameter(error.message + meant, ctx, self) from None


class Command(click.Command):
    """A command whose help lists its options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                group = getattr(parameter, "group", OUTPUT)
                groups.setdefault(group, []).append(record)
        last = groups.pop(OUTPUT, None)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)
        if last:
            with formatter.section(OUTPUT):
                formatter.write_dl(last)


def option(*declarations: str, group: str = "Options", **keywords: Any) -> Callable[..., Any]:
    """`click.option` with '' for "not given" and a heading in the help.

    A flag gets a hidden twin ``--NAME-if true|false``, for an MLproject to pass.
    """
    plain = click.option(*declarations, cls=Option, group=group, **keywords)
    if not keywords.get("is_flag"):
        return plain
    flag = next(name for name in declarations if name.startswith("--"))
    name = next(
        (d for d in declarations if not d.startswith("-")), flag.strip("-").replace("-", "_")
    )
    twin = click.option(f"{flag}-if", name, cls=Option, type=bool, hidden=True, group=group)
    return lambda function: plain(twin(function))


def settings_options(function: Function, without: Collection[str] = ()) -> Function:
    """One option for every field of `ScoringSettings` but some, with its docstring as help."""
    texts = _parameter_help(ScoringSettings.__doc__ or "")
    for name, field in reversed(ScoringSettings.model_fields.items()):
        if name in without:
            continue
        default = field.default
        keywords: dict[str, Any] = {"help": texts.get(name, ""), "group": "Scoring"}
        if isinstance(default, bool):
            keywords |= {"is_flag": True, "default": False}
        else:
            keywords |= {"default": default, "show_default": default is not None}
            keywords["type"] = _type_of(field.annotation) if default is None else type(default)
            for limit in field.metadata:
                if isinstance(limit, OneOf):
                    keywords["metavar"] = "|".join(limit.choices)
        function = option(f"--{name.replace('_', '-')}", name, **keywords)(function)
    return function


SELECTION = "Which runs"
DESTINATION = "Where it is logged"


def texts_option(function: Function) -> Function:
    """``--texts`` of a command that reads scores: of which text set."""
    return option(
        "--texts",
        group=SELECTION,
        metavar="NAME|DIGEST|FILE",
        help="Only runs on this text set, where there are several; where its texts are read.",
    )(function)


def experiments_option(help_text: str, group: str) -> Callable[[Function], Function]:
    """``--experiment`` of a command that reads: value ``experiments``."""
    return option(
        "--experiment",
        "experiments",
        multiple=True,
        callback=comma_separated,
        group=group,
        metavar="NAME",
        help=f"{help_text} Repeatable, or separated by commas.",
    )


def selection_options(function: Function) -> Function:
    """``--experiment``, ``--filter`` and ``--run-id``: values ``experiments``, ``filter`` and
    ``run_ids``."""
    ids = option(
        "--run-id",
        "run_ids",
        multiple=True,
        callback=comma_separated,
        group=SELECTION,
        help="A score run, or a sweep. Repeatable, or separated by commas.",
    )(function)
    found = option(
        "--filter",
        group=SELECTION,
        help="MLflow filter, such as \"tags.`modelmap.trajectory` = 'pythia-1b'\".",
    )(ids)
    return experiments_option(
        "Experiment whose score runs are taken; without any choice, the current one.", SELECTION
    )(found)


def logging_experiment(help_text: str, group: str = DESTINATION) -> Callable[[Function], Function]:
    """``--experiment`` of a command that logs into one: a second one is refused."""
    return option(
        "--experiment",
        multiple=True,
        callback=_only_one,
        group=group,
        metavar="NAME",
        help=help_text,
    )


def _only_one(_: click.Context, __: click.Parameter, values: Sequence[str]) -> str | None:
    """Callback of an option that may be given once."""
    if len(set(values)) > 1:
        raise click.BadParameter(f"{', '.join(map(repr, values))} are several; give one.")
    return values[0] if values else None


def vector_option(function: Function) -> Function:
    """``--vector``: which vectors of the runs a command is of."""
    return option(
        "--vector",
        default=CONDITIONAL,
        metavar="|".join(VECTORS),
        show_default=True,
        group=SELECTION,
        help="Of responses to prompts: log p(y|x), log p(y), or the first less the second; the "
        "last two of scores made with --unconditional.",
    )(function)


def where_options(function: Function) -> Function:
    """``--name`` and ``--output-experiment`` of the run that a command makes."""
    where = option(
        "--output-experiment",
        group=DESTINATION,
        help="Experiment to log into; by default that of the runs.",
    )(function)
    return option("--name", group=DESTINATION, help="Name of the run that is made.")(where)


def preprocessing_options(
    clip: float, drop_texts: float, group: str, of: str = ""
) -> Callable[[Function], Function]:
    """``--clip`` and ``--drop-texts`` with these defaults; 0 is for none."""

    def with_both(function: Function) -> Function:
        dropped = option(
            "--drop-texts",
            type=float,
            default=drop_texts,
            show_default=True,
            group=group,
            help=f"Drop this share of the texts, those with the largest changes{of}; 0 for none.",
        )(function)
        return option(
            "--clip",
            type=float,
            default=clip,
            show_default=True,
            group=group,
            help=f"Raise log-likelihoods below this quantile to it{of}; 0 for none.",
        )(dropped)

    return with_both


def comma_separated(
    _: click.Context, __: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """Callback of a repeatable option whose values may also be separated by commas."""
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def _type_of(annotation: Any) -> type:
    """Of a setting that may be left out: a whole number, or text."""
    kinds = (get_args(kind)[0] if get_args(kind) else kind for kind in get_args(annotation))
    return int if int in kinds else str


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's values that are fields of `ScoringSettings`."""
    return {name: values[name] for name in ScoringSettings.model_fields if name in values}


def _parameter_help(docstring: str) -> dict[str, str]:
    """Names and descriptions in the Parameters section of a numpydoc docstring."""
    # From 3.13 on Python itself takes the indentation away.
    plain = inspect.cleandoc(docstring) + "\n"
    section = plain.partition("----------\n")[2].partition("Raises\n")[0]
    found = re.findall(r"^(\w+)\n((?: {4}.*\n)+)", section, re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in found}


@dataclass(frozen=True)
class Output:
    """How a command answers.

    Attributes
    ----------
    quiet
        Nothing but ids on stdout, nothing but errors on stderr.
    json
        One JSON object on stdout, nothing else there.
    """

    quiet: bool = False
    json: bool = False

    @property
    def progress(self) -> bool:
        """Whether progress bars are shown (on stderr)."""
        return not self.quiet

    def tell(
        self,
        result: Mapping[str, Any],
        text: Iterable[str],
        ids: Sequence[str] = (),
        study: str | None = None,
    ) -> None:
        """Answer on stdout: the result as JSON, or lines of text, or with --quiet only ids.

        Lines end with where the page shows the run `study`.
        """
        if self.json:
            click.echo(json.dumps(finite(result), indent=2, ensure_ascii=False))
            return
        for line in ids if self.quiet else text:
            click.echo(line)
        if study is not None and not self.quiet:
            for line in look(study):
                click.echo(line)

    def notice(self, text: str) -> None:
        """A remark on stderr, unless --quiet."""
        if not self.quiet:
            click.echo(f"Note: {text}", err=True)


def output_options(function: Function) -> Function:
    """``--quiet``, ``--json`` and ``--tracking-uri``; the command receives ``output``.

    The tracking URI is set before the command runs, and SIGTERM stops it as Ctrl-C does, so that
    its run ends as KILLED.
    """

    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        output = Output(bool(values.pop("quiet")), bool(values.pop("json_")))
        uri = values.pop("tracking_uri")
        if uri:
            import mlflow

            if "\0" in uri:
                raise InputError(f"The tracking URI {uri!r} holds a NUL; give one without.")
            mlflow.set_tracking_uri(uri)
        with stoppable():
            return function(*arguments, output=output, **values)

    command = option(
        "--json", "json_", is_flag=True, group=OUTPUT, help="Print one JSON object on stdout."
    )(command)
    command = option(
        "--quiet", is_flag=True, group=OUTPUT, help="Print ids and errors only; no progress bar."
    )(command)
    return option(
        "--tracking-uri",
        group=OUTPUT,
        help="MLflow tracking store; by default MLFLOW_TRACKING_URI, else ./mlflow.db.",
    )(command)
