"""Two points of a map for the server page: what the map says of every pair."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.pair import pair_payload
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.numerics.scale.own_scale import own_groups
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
