"""Fixtures of the drivers: text files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_modelmap import TextSet


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest) -> None:
    """Nothing is drawn but where a test is marked as `drawn`."""
    if not request.node.get_closest_marker("drawn"):
        request.getfixturevalue("undrawn")


@pytest.fixture
def text_file(texts: TextSet, tmp_path: Path) -> Path:
    """The session's texts as a JSON list."""
    path = tmp_path / "short texts.json"
    path.write_text(json.dumps(list(texts.texts)), encoding="utf-8")
    return path
