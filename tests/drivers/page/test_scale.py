"""A scale for the server page: every group with its spread."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.scale import scale_payload
from tests.drivers.page.reading import artifact


def test_every_group_of_a_scale_is_given_with_its_spread(page, site):
    opened = open_run(page, site.runs["scale"])
    groups = scale_payload(page, opened, PageCache())["groups"]
    table = pd.read_parquet(artifact(page, site, "scale", "pairs.parquet"))
    for row in groups:
        own = table[table["group"] == row["group"]]
        assert row["n"] == len(own)
        assert row["largest_se"] == own["se"].max() > 0
        told = [pair["kl"] for pair in row["pairs"]]
        assert told == sorted(told)
        assert {told[0], told[-1]} == {own["kl"].min(), own["kl"].max()}
        assert len(told) == min(len(own), 60)
        if len(own) == 1:
            assert (row["low"], row["high"]) == (None, None)
        else:
            assert (row["low"], row["high"]) == tuple(np.quantile(own["kl"], [0.25, 0.75]))
            assert row["low"] <= row["median"] <= row["high"]
    sizes = {row["n"] for row in groups}
    assert 1 in sizes
    assert max(sizes) > 60


def test_a_scale_has_groups_of_positive_medians(page, site):
    groups = scale_payload(page, open_run(page, site.runs["scale"]), PageCache())["groups"]
    assert {"Later", "Seed", "Random"} & {row["group"] for row in groups}
    assert all(row["median"] > 0 for row in groups)
    json.dumps(groups, allow_nan=False)
