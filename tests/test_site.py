"""The documentation site shows every page and every public name."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import yaml

import mlflow_modelmap

ROOT = Path(__file__).parent.parent
MAKE = runpy.run_path(str(ROOT / "docs" / "make_site.py"))


def navigation() -> list[str]:
    """The pages that the site's menu names."""
    content = yaml.safe_load((ROOT / "docs" / "site.yml").read_text(encoding="utf-8"))

    def leaves(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        return [leaf for part in parts for leaf in leaves(part)]

    return leaves(content["nav"])


def test_the_menu_names_every_page_once():
    assert sorted(navigation()) == sorted(
        page.relative_to(ROOT).as_posix() for page in MAKE["pages"]()
    )


def test_the_reference_names_what_is_public_and_no_more():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    written = re.findall(r"^::: mlflow_modelmap\.(\w+)$", page, re.MULTILINE)
    assert sorted(written) == sorted(set(dir(mlflow_modelmap)) - {"__version__"})


def test_pages_are_laid_out_with_what_they_link_to(tmp_path):
    (tmp_path / "old").write_text("from an earlier build")
    MAKE["lay_out"](tmp_path)
    laid = tmp_path / "pages"
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "mkdocs.yml").exists()
    for page in laid.rglob("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", text):
            assert (page.parent / target).exists() or target.endswith("/"), (page, target)
    assert (laid / "docs" / "images" / "map.png").exists()
    assert (laid / "constraints.txt").exists()
