"""Two points of a map for the server page: what the map says of every pair."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.map import build_map as driver
from mlflow_modelmap.drivers.map import pairs
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.pair import pair_payload
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.numerics.scale.own_scale import own_groups
from mlflow_modelmap.tracking.runs.artifacts import local_path
from tests.drivers.page.reading import artifact, load_map_in, reads
from tests.scored import made_up, write_score


def test_every_pair_is_what_load_map_gives(page, site):
    cache = PageCache()
    made = load_map_in(site, "map")
    opened = open_run(page, site.runs["map"])
    own = pd.read_parquet(artifact(page, site, "scale", "scale.parquet"))
    for a, b in ((0, 1), (3, 20), (20, 3), (5, 5)):
        told = pair_payload(page, opened, cache, a, b)
        names = made.points["point"]
        kl, se = made.between(names[a], names[b])
        low, high = confidence_interval(kl, se)
        parts = np.sort((made.coordinates[a] - made.coordinates[b]) ** 2)[::-1]
        if a != b:
            assert parts[: told["half_in"]].sum() >= kl / 2 > parts[: told["half_in"] - 1].sum()
        bits = made.points["bits_per_byte"]
        assert told["bits_per_byte_difference"] == pytest.approx(bits[a] - bits[b], abs=1e-5)
        assert told["bits_per_byte_difference_se"] == pytest.approx(
            np.sqrt(2 * kl / (made.texts * made.mean_bytes * np.log(2)))
        )
        assert told["sharpness"].startswith("known ")
        assert (told["kl"], told["se"]) == (kl, se)
        assert (told["low"], told["high"]) == (float(low), float(high))
        assert told["words"] == in_words(kl, se, own_groups(own))
        assert told["noise"] is None
        assert [of["row"] for of in told["points"]] == [a, b]


@pytest.mark.parametrize("row", [-1, 10_000])
def test_a_row_that_is_none_of_the_maps(page, site, row):
    with pytest.raises(InputError, match=rf"There is no point {row} on this map; its points are 0"):
        pair_payload(page, open_run(page, site.runs["map"]), PageCache(), 0, row)


def test_a_pair_within_the_noise_is_said_to_be(store):
    values, size = made_up(2)
    for name, row in zip("ab", values, strict=True):
        run_id = write_score(store, name, row, size)
        mlflow.MlflowClient(store).log_metric(run_id, "modelmap/noise_kl", 100.0)
    page = reads(store)
    opened = open_run(page, build_map(["test"]).run_id)
    told = pair_payload(page, opened, PageCache(), 0, 1)
    assert told["noise"].startswith("It is within the noise of the scores")
    assert told["words"] == in_words(told["kl"], told["se"])


@pytest.fixture
def large(store, monkeypatch):
    """A map of so many points that it holds no table of their pairs, and no t-SNE in 3D."""
    monkeypatch.setattr(pairs, "LARGE", 3)
    monkeypatch.setattr(driver, "DEEP", 3)
    values, size = made_up(6)
    for k, row in enumerate(values):
        write_score(store, f"m{k}", row, size)
    return build_map(["test"])


def test_a_pair_of_a_map_without_tables_comes_from_its_two_rows(store, large):
    page = reads(store)
    opened = open_run(page, large.run_id)
    cache = PageCache()
    assert set(map_payload(page, opened, cache)["coordinates"]) == {"pca2", "pca3", "tsne2"}
    for a, b in ((0, 5), (5, 0), (2, 3), (4, 4)):
        told = pair_payload(page, opened, cache, a, b)
        differences = (large.coordinates[a] - large.coordinates[b]) ** 2
        assert told["kl"] == pytest.approx(differences.sum(), rel=1e-12)
        assert (told["kl"], told["se"]) == pytest.approx(large.between(f"m{a}", f"m{b}"))
        if a != b:
            parts = np.sort(differences)[::-1]
            assert parts[: told["half_in"]].sum() >= told["kl"] / 2
            assert told["kl"] / 2 > parts[: told["half_in"] - 1].sum()
    assert cache.held_bytes < 60_000


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.ones((2, 40)), r"of shape \(2, 40\) and type float64 has no row 5"),
        (np.ones((6, 40), dtype=np.float32), "type float32 has no row 5 of numbers"),
        (np.ones((40, 6)).T, "has no row 5 of numbers"),
        (np.full((6, 40), np.nan), "is damaged"),
    ],
)
def test_damaged_coordinates_are_said_to_be(store, large, array, why):
    page = reads(store)
    run = page.get_run(large.run_id)
    path = Path(local_path(run.info.artifact_uri)) / "modelmap" / "coordinates.npy"
    np.save(path, array)
    with pytest.raises(TrackingError, match=why):
        pair_payload(page, open_run(page, large.run_id), PageCache(), 0, 5)
