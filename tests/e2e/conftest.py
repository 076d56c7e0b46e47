"""Fixtures of the end-to-end tests: a real headless browser, and the page's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import MISSING, chromium
from tests.page_site import Site
from tests.serving import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium whose console is recorded."""
    chrome = chromium()
    if chrome is None:
        pytest.skip(MISSING)
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session")
def server(site: Site) -> Iterator[str]:
    """The page over the store with one of everything."""
    folder = Path(site.store.partition("///")[2]).parent
    with serving(folder, "--workers", "1", "--app-name", "modelmap") as address:
        yield address
