"""The rooms of the package know each other in one direction only, and say which room they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mlflow_modelmap"
MODULES = sorted(PACKAGE.rglob("*.py"))

NUMBERS = {"numpy", "scipy", "pandas", "sklearn", "openTSNE", "networkx", "joblib"}
# docs/layout.md has the same table: which rooms each may import, and which libraries.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "errors": ({"words"}, set()),
    "environment": (set(), set()),
    "machine": (set(), {"psutil"}),
    "words": (set(), set()),
    "texts": ({"errors", "words"}, {"numpy", "pandas", "pyarrow", "datasets"}),
    "numerics": ({"errors", "words"}, NUMBERS),
    "figures": (
        {"errors", "words", "numerics"},
        NUMBERS | {"matplotlib", "mpl_toolkits", "plotly"},
    ),
    "scoring": (
        {"errors", "words", "environment", "texts"},
        {
            *("torch", "transformers", "safetensors", "accelerate", "bitsandbytes"),
            *("gguf", "peft", "sentencepiece", "tokenizers"),
            *("huggingface_hub", "numpy", "pydantic", "threadpoolctl", "joblib"),
            *("requests", "urllib3", "llama_cpp", "vllm", "triton"),
        },
    ),
    "tracking": (
        {"errors", "words", "environment", "machine", "texts", "numerics", "scoring"},
        {"mlflow", "numpy", "pandas", "pyarrow", "sqlalchemy", "yaml", "cachetools", "filelock"},
    ),
    "drivers": (
        {
            *("errors", "words", "environment", "texts", "numerics", "figures", "scoring"),
            *("machine", "tracking"),
        },
        {
            *("mlflow", "numpy", "pandas", "pyarrow", "matplotlib", "pydantic", "yaml", "tqdm"),
            *("cachetools", "filelock", "joblib", "psutil", "ray", "submitit"),
        },
    ),
    "surfaces": (
        {
            *("errors", "words", "environment", "texts", "numerics", "scoring", "tracking"),
            "drivers",
        },
        {
            *("mlflow", "click", "flask", "plotly", "pydantic"),
            *("transformers", "lightning", "pytorch_lightning"),
            "typing_extensions",  # for type checkers alone
        },
    ),
}
# Among drivers each capability knows only those before it.
CAPABILITIES = (
    *(
        "process",
        "score",
        "clean",
        "exact",
        "pair",
        "study",
        "exchange",
        "map",
        "weights",
        "trajectory",
        "gate",
        "evaluation",
    ),
    *("lineage", "monitor", "page"),
)
APART = (("map", "weights"), ("gate", "evaluation", "lineage", "monitor"))
"""Capabilities that do not know each other, although one is named before the other."""


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Dotted names that a module imports anywhere in it, also where they are types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (tuple(f"{node.module}.{alias.name}".split(".")) for alias in node.names)


def place(path: Path) -> tuple[str, ...]:
    """Room, capability and so on of a module."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_keeps_to_its_room(path):
    room = place(path)[0]
    if room.startswith("__"):
        return  # the package's own face may name everything
    rooms, libraries = ROOMS[room]
    for top, *rest in imports(path):
        if top == "mlflow_modelmap":
            # `from mlflow_modelmap import __version__` and the like are no room.
            known = {room, *rooms} if rest and rest[0] in ROOMS else {*rest}
            assert rest[0] in known, f"{room} must not import {rest[0]}"
        elif top not in sys.stdlib_module_names:
            assert top in libraries, f"{room} must not import {top}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "drivers").rglob("*.py")), ids=shown)
def test_a_capability_knows_only_those_before_it(path):
    _, own, *_ = place(path)
    if own == "__init__":
        return
    before = set(CAPABILITIES[: CAPABILITIES.index(own) + 1])
    before -= {other for group in APART if own in group for other in group if other != own}
    asked = {rest[2] for rest in imports(path) if rest[:2] == ("mlflow_modelmap", "drivers")}
    assert asked <= before, f"drivers/{own} must not import {sorted(asked - before)}"


def test_no_module_imports_itself_in_a_circle():
    names = {".".join(("mlflow_modelmap", *place(path))): path for path in MODULES}
    graph = {
        name: {
            ".".join(dotted[:end])
            for dotted in imports(path)
            for end in range(2, len(dotted) + 1)
            if ".".join(dotted[:end]) in names
        }
        - {name}
        for name, path in names.items()
        if not name.endswith("__init__")
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1]))


def test_every_room_and_capability_is_in_the_tables():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {name for name in there if not name.startswith("_") and name != "py"} == set(ROOMS)
    folders = {p.name for p in (PACKAGE / "drivers").iterdir() if p.is_dir()} - {"__pycache__"}
    assert folders == set(CAPABILITIES)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_says_what_it_is_in_its_first_line(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_long_file_says_why_in_its_first_lines(path):
    written = path.read_text(encoding="utf-8")
    if written.count("\n") > 350:
        said = ast.get_docstring(ast.parse(written)) or ""
        assert "One file because" in said, f"{shown(path)} has {written.count(chr(10))} lines"


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
