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


@pytest.mark.drawn
def test_the_scale_holds_the_settings_that_have_pairs_and_no_others(family):
    found = build_scale(["test"])
    assert found.table["group"].tolist() == ["8-bit", "Intra-type", "Random"]
    table = found.table.set_index("group")
    kls = [expected_kl(family[n], family[n, "int8"]) for n in family if isinstance(n, str)]
    assert table.loc["8-bit", "median"] == pytest.approx(np.median(kls))
    assert table.loc["8-bit", "paper_median"] == 0.44
    assert (table["n"] == [6, 6, 15]).all()
    assert load_scale(found.run_id).table["median"].tolist() == found.table["median"].tolist()


@pytest.mark.drawn
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


def test_groups_along_training_are_clipped_and_freed_of_texts_and_others_are_not(write_run):
    generator = np.random.default_rng(6)
    vectors = {step: -50 + 5 * generator.normal(size=N) for step in range(0, 5000, 1000)}
    vectors[3000][7] = -400.0  # an irregular text
    for step, vector in vectors.items():
        write_run(f"a {step}", vector, model="org/a", trajectory="a", step=str(step))
    other = -50 + 5 * generator.normal(size=N)
    write_run("other", other, model="org/other")
    plain = build_scale(["test"])
    done = build_scale(["test"], clip=0.02, drop_texts=0.05, warm_up=1000)
    before, after = (found.pairs.set_index(["group", "point", "other"]) for found in (plain, done))
    pair = ("Later", "a 3000", "a 4000")
    assert before.loc[pair, "kl"] == pytest.approx(expected_kl(vectors[3000], vectors[4000]))
    # Written out: clip at the quantile of all checkpoints, drop the ten texts that move most.
    values = np.array(list(vectors.values()))
    values = np.maximum(values, np.quantile(values, 0.02))
    moved = np.abs(np.diff(values[1:], axis=0)).max(axis=0)
    kept = np.sort(np.argsort(-moved, kind="stable")[10:])
    size = np.mean((20 + np.arange(N))[kept])
    expected = np.var((values[3] - values[4])[kept]) / (2 * size * np.log(2))
    assert after.loc[pair, "kl"] == pytest.approx(expected)
    random = ("Random", "a 4000", "other")
    assert after.loc[random, "kl"] == pytest.approx(expected_kl(vectors[4000], other))
    with pytest.raises(InputError, match=r"The quantile to clip at is 1\.5"):
        build_scale(["test"], clip=1.5)


def test_what_stands_on_no_trajectory_cannot_be_clipped(family):
    with pytest.raises(InputError, match="No selected run stands on a trajectory"):
        build_scale(["test"], clip=0.02)


def test_a_model_under_two_names_counts_once_and_a_copy_that_differs_in_kind_twice(
    family, write_run
):
    before = build_scale(["test"])
    some = "org/llama-0"
    write_run("registered", family[some], model="models:/llama/1", model_type="llama",
              precision="float16")  # fmt: skip
    write_run("int8 again", family[some, "int8"], model="org/llama-0", model_type="llama",
              precision="int8")  # fmt: skip
    found = build_scale(["test"])
    columns = ["group", "median", "mean", "sd", "n"]
    assert found.table[columns].equals(before.table[columns])
    assert (
        "Models that are the same on every text count once: 'org/llama-0' is also 'registered'; "
        "'org/llama-0 int8' is also 'int8 again'."
    ) in found.notices
    # A quantised copy that changed nothing is still a copy, at KL 0.
    write_run("lossless", family[some], model=some, model_type="llama", precision="int8")
    table = build_scale(["test"]).table.set_index("group")
    assert table.at["8-bit", "n"] == before.table.set_index("group").at["8-bit", "n"] + 1
