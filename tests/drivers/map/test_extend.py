"""Points put on a map that is there: its own stay, and all KL are those of a map of all."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, build_map, load_map
from mlflow_modelmap.drivers.map import build_map as driver
from mlflow_modelmap.drivers.map import extend, pairs
from tests.scored import made_up, write_score

OLD, NEW = 24, 3


@pytest.fixture
def scores(store):
    """Runs of a family, the last a copy of the first; the ids of the old and of the new ones."""
    values, size = made_up(OLD + NEW, texts=60)
    values[-1] = values[0]
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    return ids[:OLD], ids[OLD:]


@pytest.fixture(params=["with tables", "without"])
def few(request, monkeypatch):
    """Whether the maps are small enough to hold tables of their pairs."""
    if request.param == "without":
        for module in (pairs, driver, extend):
            monkeypatch.setattr(module, "LARGE", 5)


def test_it_is_the_map_of_all_but_where_the_old_points_are_drawn(store, scores, few):
    old, new = scores
    parent = build_map(run_ids=old)
    made = build_map(run_ids=new, extend=parent.run_id)
    of_all = build_map(run_ids=old + new)
    drawn = [c for c in parent.points if c.startswith(("pca", "tsne"))]
    pd.testing.assert_frame_equal(made.points[drawn][:OLD], parent.points[drawn])
    np.testing.assert_array_equal(made.coordinates[:OLD], parent.coordinates)
    np.testing.assert_allclose(made.kl, of_all.kl, rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.kl_standard_error, of_all.kl_standard_error, atol=1e-12)
    assert list(made.points["point"]) == list(of_all.points["point"])
    assert made.between("m0", f"m{OLD + NEW - 1}") == (0.0, 0.0), "a copy"
    known = made.nearest.merge(of_all.nearest, on=["point", "rank"], suffixes=("", "_of_all"))
    assert len(known) == len(made.nearest) == len(of_all.nearest)
    np.testing.assert_allclose(known["kl"], known["kl_of_all"], rtol=0, atol=1e-12)
    assert made.entropy_bound == of_all.entropy_bound
    run = mlflow.MlflowClient(store).get_run(made.run_id)
    assert run.data.tags["modelmap.extends"] == parent.run_id
    assert run.data.tags["modelmap.members"] == str(OLD + NEW)
    metrics = mlflow.MlflowClient(store).get_run(of_all.run_id).data.metrics
    for name in ("smallest_kl", "largest_kl", "largest_standard_error"):
        found = run.data.metrics[f"modelmap/{name}"]
        assert found == pytest.approx(metrics[f"modelmap/{name}"], abs=1e-12)
    back = load_map(made.run_id)
    pd.testing.assert_frame_equal(back.points, made.points)
    pd.testing.assert_frame_equal(back.placed, made.placed)


def test_a_copy_lies_on_its_original_and_fits(store, scores, few):
    old, new = scores
    parent = build_map(run_ids=old)
    made = build_map(run_ids=new, extend=parent.run_id)
    copy = made.placed.iloc[-1]
    assert (copy["nearest"], copy["nearest_kl"], copy["farther_than"]) == ("m0", 0.0, 0.0)
    at = made.points.set_index("point")
    components = ["pca_1", "pca_2", "pca_3"]
    first, last = (at.loc[name, components].to_numpy(float) for name in ("m0", copy["point"]))
    np.testing.assert_allclose(first, last, atol=1e-9)
    for columns in (["tsne2_1", "tsne2_2"], ["tsne3_1", "tsne3_2", "tsne3_3"]):
        places = at[columns].to_numpy(float)
        np.testing.assert_allclose(places[-1], places[0], rtol=1e-9, atol=1e-9)
    assert copy["neighbours_kept"] >= 0.5
    assert 0 < copy["components_kept"] <= 1


def test_a_map_that_was_extended_is_extended_again(store, scores):
    old, new = scores
    once = build_map(run_ids=new[:1], extend=build_map(run_ids=old).run_id)
    twice = build_map(run_ids=[*old, *new], extend=once.run_id)
    assert twice.points["placed"].tolist() == [False] * OLD + [True] * NEW
    assert f"{OLD + 1} of the selected points were on the map already." in twice.notices
    at_once = build_map(run_ids=new, extend=build_map(run_ids=old).run_id)
    for column in ("pca_1", "pca_3"):
        np.testing.assert_allclose(twice.points[column], at_once.points[column], atol=1e-12)


def test_settings_are_those_of_the_map(store, scores):
    old, new = scores
    parent = build_map(run_ids=old, clip=0.1, per_byte=True, perplexity=4)
    made = build_map(run_ids=new, extend=parent.run_id)
    of_old = build_map(run_ids=[*old[:1], *new], extend=build_map(run_ids=old[1:]).run_id)
    assert not np.allclose(made.kl.to_numpy()[-2], of_old.kl.to_numpy()[-2])
    params = mlflow.MlflowClient(store).get_run(made.run_id).data.params
    assert params["modelmap.preprocessing.clip_quantile"] == "0.1"
    assert params["modelmap.per_byte"] == "true"
    assert made.perplexity == 4
    assert made.between("m0", f"m{OLD + NEW - 1}").kl == 0.0, "clipped alike"


def test_names_that_are_there_get_another(store, scores):
    values, _ = made_up(OLD + NEW + 1, texts=60, seed=1)
    twin = write_score(store, "m3", values[-1], made_up(1, texts=60)[1])
    made = build_map(run_ids=[twin], extend=build_map(run_ids=scores[0]).run_id)
    assert made.points["point"].iloc[-1] == f"m3 ({twin[:8]})"


def test_what_cannot_be_put_on_a_map_is_refused(store, scores):
    old, new = scores
    parent = build_map(run_ids=old)
    with pytest.raises(InputError, match=r"All of the 2 selected points are on the map"):
        build_map(run_ids=old[:2], extend=parent.run_id)
    values, size = made_up(1, texts=60)
    other = write_score(store, "other", values[0], size, digest="9" * 64)
    with pytest.raises(InputError, match=r"'other' .* was scored on the text set made-up texts"):
        build_map(run_ids=[other], extend=parent.run_id)
    longer = write_score(store, "longer", values[0], size + 1)
    with pytest.raises(InputError, match="What was scored of the texts, or their weights, is not"):
        build_map(run_ids=[longer], extend=parent.run_id)
    with pytest.raises(InputError, match="no run"):
        build_map(run_ids=new, extend="0" * 32)
