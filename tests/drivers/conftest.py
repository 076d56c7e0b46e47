"""Fixtures of the drivers: text files, a spool of its own, runs as they lie in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mlflow_modelmap import TextSet


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool of this test."""
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.fixture
def text_file(texts: TextSet, tmp_path: Path) -> Path:
    """The session's texts as a JSON list."""
    path = tmp_path / "short texts.json"
    path.write_text(json.dumps(list(texts.texts)), encoding="utf-8")
    return path


@pytest.fixture
def all_runs(store: str) -> Callable[[], list[Any]]:
    """Every run of every experiment, oldest first."""
    client = mlflow.MlflowClient(store)

    def read() -> list[Any]:
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        return sorted(client.search_runs(ids), key=lambda run: run.info.start_time)

    return read
