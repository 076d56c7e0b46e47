"""The scale over runs whose answers are known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlflow_modelmap.drivers.study.scale import build_scale, load_scale
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli import cli
from tests.drivers.study.known import N, expected_kl


def test_the_scale_holds_the_settings_that_have_pairs_and_no_others(family):
    found = build_scale(["test"])
    assert found.table["group"].tolist() == ["8-bit", "Intra-type", "Random"]
    table = found.table.set_index("group")
    kls = [expected_kl(family[n], family[n, "int8"]) for n in family if isinstance(n, str)]
    assert table.loc["8-bit", "median"] == pytest.approx(np.median(kls))
    assert table.loc["8-bit", "paper_median"] == 0.44
    assert (table["n"] == [6, 6, 15]).all()
    assert load_scale(found.run_id).table["median"].tolist() == found.table["median"].tolist()


def test_the_scale_of_ones_own_groups_by_tag_and_as_json(write_run):
    generator = np.random.default_rng(5)
    vectors = [-50 + generator.normal(size=N) for _ in range(3)]
    for number, vector in enumerate(vectors):
        write_run(f"m{number}", vector, model=f"m{number}", wave="a" if number < 2 else "b")
    done = CliRunner().invoke(
        cli, ["scale", "--experiment", "test", "--group", "modelmap.wave", "--json", "--quiet"]
    )
    assert done.exit_code == 0, done.output
    rows = {row["group"]: row for row in json.loads(done.stdout)["scale"]}
    assert rows["modelmap.wave"]["median"] == pytest.approx(expected_kl(*vectors[:2]))
    assert rows["modelmap.wave"]["n"] == 1
    with pytest.raises(InputError, match="No selected run has the tag 'colour'"):
        build_scale(["test"], groups=["colour"])
