"""Write docs/cli.md from the command line itself, so that the page cannot lie."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlflow_modelmap.surfaces.cli import cli

PAGE = Path(__file__).parent / "cli.md"


def sections(command: click.Command, context: click.Context, path: str) -> list[str]:
    """The help of a command, then of each of its subcommands, as Markdown."""
    depth = "#" * (1 + len(path.split()))
    lines = [f"{depth} `{path}`", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            child_context = click.Context(child, info_name=name, parent=context)
            lines += sections(child, child_context, f"{path} {name}")
    return lines


def page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="modelmap", max_content_width=88, terminal_width=88)
    head = [
        "# Command line",
        "",
        "This page is written by `python docs/make_cli.py` from the commands' own help.",
        "",
        "A shell completes commands, options and their values after one line in its start-up file:",
        "",
        "| shell | file | line |",
        "| --- | --- | --- |",
        *(
            f"| {shell} | `{file}` | `{line}` |"
            for shell, file, line in (
                ("bash", "~/.bashrc", 'eval "$(_MODELMAP_COMPLETE=bash_source modelmap)"'),
                ("zsh", "~/.zshrc", 'eval "$(_MODELMAP_COMPLETE=zsh_source modelmap)"'),
                (
                    "fish",
                    "~/.config/fish/completions/modelmap.fish",
                    "_MODELMAP_COMPLETE=fish_source modelmap | source",
                ),
            )
        ),
        "",
    ]
    return "\n".join(head + sections(cli, context, "modelmap"))


if __name__ == "__main__":
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/cli.md is stale; run `make docs`.")
    else:
        PAGE.write_text(page(), encoding="utf-8")
