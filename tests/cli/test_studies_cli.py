"""`modelmap scale`, `layers`, `quantization` and `prompts` from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlflow_modelmap.surfaces.cli import main
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture


@pytest.fixture
def scored(write_run):  # noqa: F811
    """A model with layers, its copy in 8 bits, and a run that is not finished."""
    generator = np.random.default_rng(0)
    own, copy, before = (-50 + 5 * generator.normal(size=40) for _ in range(3))
    write_run("own", own, layers={0: before, 1: own}, model="org/m", precision="float32")
    write_run("copy", copy, model="org/m", precision="int8")
    write_run("prompted", before, model="org/m", precision="float32", prompt="Rhyme.")
    write_run("half done", own, status="RUNNING")


@pytest.mark.parametrize(
    ("command", "key"),
    [("scale", "scale"), ("layers", "layers"), ("quantization", "pairs"), ("prompts", "shifts")],
)
def test_notices_go_to_people_and_to_programs(scored, command, key, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--experiment", "test", "--json"])
    assert done.value.code == 0
    told = capsys.readouterr()
    out = json.loads(told.out)
    assert out[key][0]["kl" if key != "scale" else "median"] > 0
    assert "Left out 1 unfinished run: 1 running." in out["notices"]
    assert all(notice in told.err for notice in out["notices"])
