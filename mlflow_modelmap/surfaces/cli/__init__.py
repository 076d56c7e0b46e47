"""Surface: the `modelmap` command; each subcommand is imported when it is called."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import keyword
import os
import sys
import threading
from collections.abc import Sequence

import click

from mlflow_modelmap import __version__
from mlflow_modelmap.drivers.process import collector, memory, stopping
from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.tracking.store.quiet import hush_migrations
from mlflow_modelmap.words.near import did_you_mean
from mlflow_modelmap.words.sentence import sentence
from mlflow_modelmap.words.shortened import shortened

# Every command is the object of the same name in a module of this folder (`map` in map.py), with
# an underscore behind a word that Python keeps for itself (`import_` in import_.py).
_COMMANDS = {
    "texts": "Build and describe text sets.",
    "score": "Score one model as an MLflow run.",
    "sweep": "Score many models, revisions and precisions from a plan.",
    "map": "Gather scored runs into a model map.",
    "place": "Put models on a map that is there.",
    "identify": "What on a map a model is near.",
    "compare": "KL divergence between two scored models, in words.",
    "gate": "Pass or fail a candidate by its drift from a reference.",
    "weights": "Distances between checkpoints in weight space.",
    "trajectory": "KL, diffusion and anomalies along training.",
    "lineage": "What each model did to its parent, and whether that is its parent.",
    "quantization": "What quantisation did to each model.",
    "prompts": "What prompts do to each model.",
    "layers": "KL between adjacent layers, by the logit lens.",
    "clean": "End the runs that killed work left over, and remove its files.",
    "scale": "KL divergence by setting, beside the paper's scale.",
    "predict": "Benchmark scores predicted from the map.",
    "import": "Make vectors from a file points of a map.",
    "export": "Write the vectors of scored runs into a file.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"mlflow_modelmap.surfaces.cli.{name}")
        return getattr(module, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            meant = did_you_mean(args[0], _COMMANDS)
            ctx.fail(f"No such command {shortened(args[0])!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelmap")
def cli() -> None:
    """Place language models, checkpoints and quantised copies on one map, in bits per byte."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 1.

    Stopped by a signal it ends with 128 and its number: 130 after Ctrl-C, 143 after SIGTERM.
    """
    hush_migrations()
    try:
        code = cli.main(args=arguments, prog_name="modelmap", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo("Stopped.", err=True)
        sys.exit(stopping.exit_code())
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        sys.exit(0)
    except click.ClickException as error:
        said = sentence(error.format_message())
        usage = error.ctx if isinstance(error, click.UsageError) else None
        (click.UsageError(said, usage) if usage else click.ClickException(said)).show()
        sys.exit(error.exit_code)
    except ModelMapError as error:
        click.echo(f"Error: {sentence(error)}", err=True)
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and stopping.was_stopped():
            sys.exit(stopping.exit_code())
        from mlflow_modelmap.tracking.store.failures import sentence as of_a_store

        told = of_a_store(error)
        if told is None:
            raise
        click.echo(f"Error: {sentence(told)}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def run() -> None:
    """`main` as a program, which does not wait for what threads still fetch once it is stopped."""
    collector.seldom()
    memory.remember_few_shapes()
    try:
        main()
    except SystemExit as end:
        collector.at_end()
        if not stopping.was_stopped() or threading.active_count() == 1:
            raise
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
