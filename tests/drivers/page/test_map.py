"""A map for the server page: what `load_map` gives, for whoever may read it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TrackingError, build_map
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.opened import head, open_run
from tests.drivers.page.reading import load_map_in, payload, reads
from tests.scored import write_family


def test_a_damaged_artifact_names_the_run(page, site):
    with pytest.raises(TrackingError, match=rf"Run {site.runs['damaged']} is damaged"):
        payload(page, site, "damaged")


def test_a_map_is_what_load_map_gives(page, site):
    drawn = payload(page, site, "map")
    made = load_map_in(site, "map")
    assert drawn["run_id"] == list(made.points["run_id"])
    np.testing.assert_allclose(
        drawn["coordinates"]["pca2"], made.points[["pca_1", "pca_2"]].to_numpy().T, rtol=1e-5
    )
    assert len(drawn["paths"]) == 2
    assert drawn["entropy_bound"] == made.entropy_bound
    json.dumps(drawn, allow_nan=False)
    top = head(page, open_run(page, site.runs["map"]))
    assert top["texts"] == made.texts
    assert top["notices"] == list(made.notices)


def test_what_one_may_not_read_is_not_shown_from_the_cache(site):
    cache = PageCache()
    page = reads(site.store)
    map_payload(page, open_run(page, site.runs["map"]), cache)
    nobody = reads(site.store, lambda ids: [])
    with pytest.raises(InputError, match="that you may read"):
        map_payload(nobody, open_run(nobody, site.runs["map"]), cache)


def test_points_that_do_not_fit_together_are_damage(store, tmp_path):
    write_family(store)
    made = build_map(["test"])
    (path,) = tmp_path.rglob("nearest.parquet")
    pd.read_parquet(path).assign(neighbour="nobody").to_parquet(path)
    page = reads(store)
    with pytest.raises(TrackingError, match=r"is damaged: what its artifacts hold does not fit"):
        map_payload(page, open_run(page, made.run_id), PageCache())


def test_a_map_of_the_first_versions_has_no_errors_of_its_bits(page, site, store, tmp_path):
    write_family(store)
    made = build_map(["test"])
    (path,) = tmp_path.rglob("points.parquet")
    pd.read_parquet(path).drop(columns="bits_per_byte_se").to_parquet(path)
    page = reads(store)
    drawn = map_payload(page, open_run(page, made.run_id), PageCache())
    assert set(drawn["bits_per_byte_se"]) == {None}
