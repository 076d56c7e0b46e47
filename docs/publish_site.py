"""Put the built site into the branch `gh-pages` as one version among others, by mike.

``python docs/publish_site.py 0.2`` commits ``build/docs/site`` as ``0.2`` and as ``latest``, which
the front page leads to; with ``dev`` only that is changed. Nothing is pushed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mike import commands, git_utils

SITE = Path(__file__).resolve().parent.parent / "build" / "docs" / "site"
LATEST = "latest"


def publish(version: str, site: Path = SITE) -> None:
    """Commit a built site as a version; a released one becomes the latest too."""
    released = version[0].isdigit()
    built = {"site_dir": str(site), "use_directory_urls": True}
    with commands.deploy(
        built,
        version,
        aliases=[LATEST] if released else [],
        update_aliases=True,
        alias_type=commands.AliasType.copy,
        message=f"Site of {version}",
    ):
        pass  # it is built already
    if released:
        commands.set_default(LATEST, message=f"The front page leads to {version}", allow_empty=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not SITE.is_dir():
        sys.exit("Build the site (`make site`), then name its version: docs/publish_site.py 0.2")
    try:
        publish(sys.argv[1])
    except git_utils.GitEmptyCommit:
        print("The site has not changed.")
