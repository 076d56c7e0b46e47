"""Scale, quantisation and layer studies over runs whose answers are known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlflow_modelmap.drivers.study.layers import load_layers, study_layers
from mlflow_modelmap.drivers.study.quantization import load_quantization, study_quantization
from mlflow_modelmap.drivers.study.scale import build_scale, load_scale
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import tag_name
from mlflow_modelmap.surfaces.cli import cli
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture

N = 200
MEAN_BYTES = 20 + (N - 1) / 2


def expected_kl(first, second):
    return np.var(first - second) / (2 * MEAN_BYTES * np.log(2))


@pytest.fixture
def family(write_run):  # noqa: F811
    """Two types of three models; quantisation pushes each type its own way."""
    generator = np.random.default_rng(7)
    vectors = {}
    for kind in ("llama", "mistral"):
        push = generator.normal(size=N)
        for number in range(3):
            name = f"org/{kind}-{number}"
            own = -50 + 5 * generator.normal(size=N)
            copy = own + push + 0.1 * generator.normal(size=N)
            vectors[name], vectors[name, "int8"] = own, copy
            write_run(name, own, model=name, model_type=kind, precision="float16")
            write_run(f"{name} int8", copy, model=name, model_type=kind, precision="int8")
    return vectors


def test_quantisation_says_how_far_and_which_way(family):
    study = study_quantization(["test"])
    assert len(study.pairs) == 6
    for row in study.pairs.itertuples():
        assert row.kl == pytest.approx(expected_kl(family[row.model], family[row.model, "int8"]))
        assert 0 < row.se < row.kl
    by_type = study.alignment.set_index("model_type")
    assert set(by_type.index) == {"llama", "mistral"}
    # Pushes of length sqrt(N) with noise of a tenth of it: cosine 1 / 1.01.
    assert by_type["mean"].to_numpy() == pytest.approx(1 / 1.01, abs=0.02)
    assert (by_type["mean"] > by_type["random_mean"]).all()
    again = load_quantization(study.run_id)
    assert again.pairs["kl"].tolist() == study.pairs["kl"].tolist()


def test_without_a_quantised_copy_the_study_says_what_to_score(write_run):  # noqa: F811
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        write_run(name, generator.normal(size=N), precision="float32")
    with pytest.raises(InputError, match="quantised copy of another; score the same model"):
        study_quantization(["test"])


def test_layers_are_measured_from_each_to_the_next(write_run):  # noqa: F811
    generator = np.random.default_rng(3)
    layers = {k: -40 + (3 - k) * generator.normal(size=N) for k in range(3)}
    write_run("deep", layers[2], layers=layers, model_type="llama")
    write_run("flat", generator.normal(size=N))
    study = study_layers(["test"])
    assert study.profiles[["layer_from", "layer"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert study.profiles["kl"].tolist() == pytest.approx(
        [expected_kl(layers[0], layers[1]), expected_kl(layers[1], layers[2])]
    )
    assert any("1 runs without layers" in notice for notice in study.notices)
    assert len(load_layers(study.run_id).points) == 3


def test_runs_without_layers_are_refused_with_the_option_to_use(write_run):  # noqa: F811
    write_run("flat", np.arange(3.0))
    with pytest.raises(InputError, match="--layers"):
        study_layers(["test"])


def test_the_scale_holds_the_settings_that_have_pairs_and_no_others(family):
    found = build_scale(["test"])
    assert found.table["group"].tolist() == ["8-bit", "Intra-type", "Random"]
    table = found.table.set_index("group")
    kls = [expected_kl(family[n], family[n, "int8"]) for n in family if isinstance(n, str)]
    assert table.loc["8-bit", "median"] == pytest.approx(np.median(kls))
    assert table.loc["8-bit", "paper_median"] == 0.44
    assert (table["n"] == [6, 6, 15]).all()
    assert load_scale(found.run_id).table["median"].tolist() == found.table["median"].tolist()


def test_the_scale_of_ones_own_groups_by_tag_and_as_json(write_run):  # noqa: F811
    generator = np.random.default_rng(5)
    vectors = [generator.normal(size=N) for _ in range(3)]
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


def test_a_base_model_that_is_a_directory_is_found_whatever_way_it_was_written(tmp_path):
    from mlflow_modelmap.drivers.score.plan_file import parse_plan
    from mlflow_modelmap.drivers.score.plan_requests import requests

    for name in ("base", "child"):
        (tmp_path / name).mkdir()
    plan = parse_plan({"models": ["base", {"model": "child", "base_model": "./base"}]})
    base, child = requests(plan, tmp_path)
    assert child.base_model is not None
    assert tag_name(child.base_model) == base.reference.name
    assert tag_name("org/name") == "org/name"
    assert tag_name(None) is None
