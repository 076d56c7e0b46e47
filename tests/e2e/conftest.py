"""Fixtures of the end-to-end tests: a real headless browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chromium import MISSING, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium whose console is recorded."""
    chrome = chromium()
    if chrome is None:
        pytest.skip(MISSING)
    yield chrome
    chrome.quit()
