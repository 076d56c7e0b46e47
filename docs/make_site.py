"""Lay out what the documentation site shows, so that links in the repository hold there too.

The site's pages are the repository's own Markdown: `mkdocs.yml` reads them from ``build/pages``,
where this script puts copies, with every file that they link to.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "docs"
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)[^)\s]*\)")


def pages() -> list[Path]:
    """Every Markdown file of the site."""
    return [
        *(ROOT / name for name in TOP),
        *sorted(ROOT.glob("docs/*.md")),
        ROOT / "examples" / "README.md",
    ]


def linked(page: Path) -> list[Path]:
    """The files that a page's relative links lead to."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    return [file for target in targets if (file := (page.parent / target).resolve()).is_file()]


def lay_out(build: Path = BUILD) -> None:
    """Copy the pages, and what they link to, into a folder that is made anew."""
    shutil.rmtree(build, ignore_errors=True)
    for file in {file for page in pages() for file in (page, *linked(page))}:
        there = build / "pages" / file.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, there)
    shutil.copyfile(ROOT / "docs" / "site.yml", build / "mkdocs.yml")


if __name__ == "__main__":
    lay_out()
