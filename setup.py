"""What setup.cfg cannot say: the project's pages, and a README whose links hold outside a clone.

``MODELMAP_URL`` is where the repository is published, such as ``https://host/owner/name``; whoever
releases sets it (the release workflow does). The package index then links to the files of the
released version there. Without it links that only hold in a clone become plain text.
"""

from __future__ import annotations

import os
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PICTURE = re.compile(r"!\[([^\]]*)\]\((?!\w+:)([^)\s]+)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


def standalone(readme: str, url: str, version: str) -> str:
    """A README as it is shown away from the repository.

    Parameters
    ----------
    readme
        In Markdown, with links relative to the repository.
    url
        Of the repository; '' where it is not published.
    version
        Of the release; the tag is this behind a ``v``, and development versions link to ``main``.
    """
    at = "main" if "dev" in version else f"v{version}"
    if not url:
        return LINK.sub(r"\1", PICTURE.sub("", readme))
    pictures = PICTURE.sub(rf"![\1]({url}/raw/{at}/\2)\n\n", readme)
    return LINK.sub(rf"[\1]({url}/blob/{at}/\2)", pictures)


def pages(url: str) -> dict[str, str]:
    """The project's pages for the package index; the paper's is known in any case."""
    known = {"Paper": "https://arxiv.org/abs/2505.15353"}
    if url:
        files = f"{url}/blob/main"
        known |= {
            "Source": url,
            "Issues": f"{url}/issues",
            "Changelog": f"{files}/CHANGELOG.md",
            "Documentation": os.environ.get("MODELMAP_SITE", "").strip() or f"{files}/docs",
        }
    return known


if __name__ == "__main__":
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    published = os.environ.get("MODELMAP_URL", "").strip().rstrip("/")
    setup(
        long_description=standalone(
            (ROOT / "README.md").read_text(encoding="utf-8"),
            published,
            metadata["metadata"]["version"],
        ),
        project_urls=pages(published),
    )
