"""The rooms of the package know each other in one direction only, and say which room they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mlflow_modelmap"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "transformers", "mlflow", "matplotlib", "plotly"}
FORBIDDEN = {
    "numerics": HEAVY | {"scoring", "tracking", "figures", "drivers", "surfaces"},
    "texts": HEAVY | {"scoring", "tracking", "figures", "drivers", "surfaces"},
    "scoring": {"mlflow", "matplotlib", "plotly", "tracking", "figures", "drivers", "surfaces"},
    "tracking": {"torch", "transformers", "matplotlib", "plotly", "drivers", "surfaces"},
    "figures": {"torch", "transformers", "mlflow", "scoring", "tracking", "drivers", "surfaces"},
    "drivers": {"surfaces"},
}


def imported_names(path: Path) -> set[str]:
    """Top-level packages, and rooms of this package, that a module imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            top, *rest = module.split(".")
            names.add(rest[0] if top == "mlflow_modelmap" and rest else top)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_keeps_to_its_room(path):
    room = path.relative_to(PACKAGE).parts[0]
    wrong = imported_names(path) & FORBIDDEN.get(room, set())
    assert not wrong, f"{path.name} is {room} and must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_in_its_first_line(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has imported after running `code`."""
    code += "\nimport sys\nprint(*[m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_torch():
    assert loaded_after("import mlflow_modelmap") == set()


def test_loading_the_plugin_entry_points_loads_no_torch():
    code = (
        "from importlib.metadata import distribution\n"
        "points = [p for p in distribution('mlflow-modelmap').entry_points\n"
        "          if p.group.startswith('mlflow.')]\n"
        "assert points\n"
        "for p in points: p.load()\n"
    )
    assert loaded_after(code) == set()


def test_every_command_shows_its_help_without_torch():
    code = (
        "from mlflow_modelmap.surfaces.cli import cli\n"
        "import click\n"
        "context = click.Context(cli, info_name='modelmap')\n"
        "for name in cli.list_commands(context):\n"
        "    cli.get_command(context, name).get_help(context)\n"
    )
    assert loaded_after(code) == set()
