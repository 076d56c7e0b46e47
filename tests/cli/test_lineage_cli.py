"""`modelmap lineage` from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlflow_modelmap.surfaces.cli import main
from tests.scored import write_score


@pytest.fixture
def scored(store):
    """A base and its child as runs, by the tag base_model."""
    random = np.random.default_rng(0)
    size = random.integers(60, 120, 200)
    base = random.normal(-80, 20, 200)
    write_score(store, "base", base, size, model="/models/base")
    child = base + random.normal(0, 3, 200)
    write_score(store, "child", child, size, model="/models/child", base_model="base")


def call(*arguments):
    with pytest.raises(SystemExit) as done:
        main(["lineage", *arguments])
    return done.value.code


def test_a_table_and_what_it_says(scored, capsys):
    assert call("--experiment", "test", "--no-hub-if", "true", "--registered-models", "") == 0
    out = capsys.readouterr().out.splitlines()
    row = next(line for line in out if line.startswith("child"))
    assert row.split()[1:3] == ["1", "base"]
    assert row.endswith("nearest is the parent")
    assert out[-4].startswith("Of 1 claimed parents 1 are the nearest candidate")


def test_json_holds_everything(scored, capsys):
    assert call("--experiment", "test", "--no-hub", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    child = next(row for row in found["lineage"] if row["child"] == "child")
    assert child["parent"] == "base"
    assert child["kl"] > 0
    assert found["agreement"]["nearest"] == 1


def test_a_registry_that_matches_nothing_is_one_line(store, capsys):
    assert call("--registered-models", "name LIKE 'no-%'", "--no-hub") == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: No registered model")
    assert len(error.splitlines()) == 1
