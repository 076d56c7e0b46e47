"""A map is given back from its run as it was made, and knows its points."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, build_map, load_map
from mlflow_modelmap.drivers.map import build_map as driver
from mlflow_modelmap.drivers.map import pairs
from tests.scored import DIGEST, write_family


@pytest.fixture
def family(store):
    return write_family(store)


def test_everything_comes_back_from_the_run(store, family):
    made = build_map(["test"])
    back = load_map(made.run_id)
    pd.testing.assert_frame_equal(back.points, made.points)
    pd.testing.assert_frame_equal(back.kl, made.kl)
    pd.testing.assert_frame_equal(back.kl_standard_error, made.kl_standard_error)
    pd.testing.assert_frame_equal(back.nearest, made.nearest)
    np.testing.assert_array_equal(back.coordinates, made.coordinates)
    for name in (
        "run_id",
        "experiment_id",
        "name",
        "entropy_bound",
        "explained",
        "perplexity",
        "text_set",
        "text_set_name",
        "texts",
        "mean_bytes",
        "notices",
    ):
        assert getattr(back, name) == getattr(made, name), name
    assert back.text_set == DIGEST


def test_unknown_points_and_runs_are_told_with_what_is_there(store, family):
    made = build_map(["test"])
    with pytest.raises(InputError, match=r"'tiny seed 0 step 3'.*'tiny seed 0 step 2'"):
        made.between("tiny seed 0 step 3", "tiny seed 0 step 2")
    with pytest.raises(InputError, match="no run"):
        load_map("0" * 32)
    with pytest.raises(InputError, match="kind 'score'"):
        load_map(family[0])


def test_a_large_map_holds_no_tables_and_says_the_same(store, family, monkeypatch):
    small = build_map(["test"])
    monkeypatch.setattr(pairs, "LARGE", 9)
    monkeypatch.setattr(driver, "LARGE", 9)
    made = build_map(["test"])
    for large in (made, load_map(made.run_id)):
        assert large.squares is None
        pd.testing.assert_frame_equal(large.nearest, small.nearest)
        pd.testing.assert_frame_equal(large.kl, small.kl)
        pd.testing.assert_frame_equal(large.kl_standard_error, small.kl_standard_error)
        a, b = "tiny seed 0 step 2", "tiny seed 1 step 0"
        assert large.between(a, b) == pytest.approx(small.between(a, b), rel=1e-9)
        pd.testing.assert_frame_equal(large.nearest_to(a, 4), small.nearest_to(a, 4))
        for count in (5, 20):
            pd.testing.assert_frame_equal(large.closest_pairs(count), small.closest_pairs(count))
    client = mlflow.MlflowClient(store)
    metrics, known = (client.get_run(of.run_id).data.metrics for of in (made, small))
    assert metrics == pytest.approx(known)
    files = {Path(f.path).name for f in client.list_artifacts(made.run_id, "modelmap")}
    assert not files & {"kl.parquet", "kl_standard_error.parquet"}
    assert {"coordinates.npy", "text_bytes.npy", "centre.npy"} <= files


def test_many_points_have_no_tsne_in_three_dimensions_unless_asked(store, family, monkeypatch):
    monkeypatch.setattr(driver, "DEEP", 9)
    made = build_map(["test"])
    assert {"tsne2_1", "pca_3"} <= set(made.points)
    assert "tsne3_1" not in made.points
    assert any("more than 9 points; ask for three" in notice for notice in made.notices)
    assert "tsne3_3" in build_map(["test"], three_dimensions=True).points
