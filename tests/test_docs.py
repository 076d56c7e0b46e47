"""The documentation holds: links lead somewhere, the command line page is the command line."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("projects/**/*.md")])


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}: no such heading"


def test_the_command_line_page_is_what_the_commands_say():
    done = subprocess.run(
        [sys.executable, "docs/make_cli.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_layout_page_names_every_folder_and_only_files_that_are_there():
    package = ROOT / "mlflow_modelmap"
    written = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    for init in package.rglob("__init__.py"):
        folder = init.parent.relative_to(package).as_posix()
        if folder != ".":
            assert f"`{folder}`" in written, f"docs/layout.md does not name {folder}"
    files = re.findall(r"`([a-z]+(?:/\w+)+\.(?:py|js))`", written)
    assert len(files) >= 12
    for name in files:
        assert (package / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize(
    "file",
    [
        file.relative_to(ROOT)
        for file in sorted((ROOT / "mlflow_modelmap").rglob("*.py"))
        if ">>> " in file.read_text(encoding="utf-8")
    ],
    ids=str,
)
def test_what_docstrings_show_is_what_comes(file):
    module = importlib.import_module(".".join(file.with_suffix("").parts))
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_key_of_a_plan_and_of_an_evaluation_stands_in_its_table():
    from mlflow_modelmap.drivers.evaluation.config import EvaluationConfig
    from mlflow_modelmap.drivers.score.plan_file import ModelEntry
    from mlflow_modelmap.scoring.settings import GOES_WITH, TRANSFORMERS

    engines = {name for name, of in GOES_WITH.items() if TRANSFORMERS not in of}
    for page, model, left in (
        ("sweep", ModelEntry, set()),
        ("evaluation", EvaluationConfig, {"engine", "agreement", *engines}),  # the model is at hand
    ):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line[:3] == "| `")
        assert {name for name in model.model_fields if f"`{name}`" not in rows} <= left, page


@pytest.mark.parametrize("name", ["python-docs", "python-qa"])
def test_no_page_asks_for_more_of_the_built_in_texts_than_there_are(name):
    from mlflow_modelmap import read_texts

    files = [*PAGES, *ROOT.glob("examples/**/*.*"), *ROOT.glob("mlflow_modelmap/**/*.py")]
    pattern = rf"{name}(?::| --size )(\d+)"
    asked = {
        int(size)
        for file in files
        if file.suffix in (".md", ".py", ".yaml", ".ipynb")
        for size in re.findall(pattern, file.read_text(encoding="utf-8"))
    }
    assert asked
    assert max(asked) <= len(read_texts(name))
