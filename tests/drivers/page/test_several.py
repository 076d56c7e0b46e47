"""KL between several points of a map, and from one to all, against the map as its user loads it."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.map import build_map as driver
from mlflow_modelmap.drivers.map import pairs
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.page import several
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.pair import pair_payload
from mlflow_modelmap.drivers.page.several import from_point_payload, several_payload
from tests.drivers.page.reading import reads
from tests.scored import made_up, write_score

WAYS = ("squares", "columns", "coordinates")


@pytest.fixture(params=WAYS)
def drawn(request, store, monkeypatch):
    """A map whose KL comes from whole tables, from columns of them, and from coordinates."""
    if request.param == "coordinates":
        monkeypatch.setattr(pairs, "LARGE", 3)
        monkeypatch.setattr(driver, "DEEP", 3)
        monkeypatch.setattr(several, "_BLOCK", 700)
    if request.param == "columns":
        monkeypatch.setattr(several, "MOST_BYTES", 100)
    values, size = made_up(6)
    for k, row in enumerate(values):
        write_score(store, f"m{k}", row, size)
    return build_map(["test"])


def test_several_points_and_one_to_all_are_as_the_map_says(store, drawn):
    page, cache = reads(store), PageCache()
    opened = open_run(page, drawn.run_id)
    names = list(drawn.points["point"])
    rows = [4, 0, 3, 4]
    told = several_payload(page, opened, cache, rows)
    assert told["rows"] == [4, 0, 3]
    for i, one in enumerate(told["rows"]):
        for j, other in enumerate(told["rows"]):
            expected = drawn.between(names[one], names[other])
            got = (told["kl"][i][j], told["se"][i][j])
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert [(of["a"], of["b"]) for of in told["pairs"]] == [(4, 0), (4, 3), (0, 3)]
    for of in told["pairs"]:
        alone = pair_payload(page, opened, cache, of["a"], of["b"])
        assert of["words"] == alone["words"]
        assert of["high"] == pytest.approx(alone["high"])
    kl = from_point_payload(page, opened, cache, 2)["kl"]
    expected = [drawn.between(names[2], name).kl for name in names]
    np.testing.assert_allclose(kl, expected, rtol=1e-5, atol=1e-12)


def test_what_is_no_choice_of_points_is_said(page, site):
    opened = open_run(page, site.runs["map"])
    for rows, words in (
        ([1], "of 2 to 40 points, not 1; choose more"),
        (range(41), "There is no point 29|not 41; choose fewer"),
        ([0, 29], "There is no point 29 on this map; its points are 0 to 28"),
    ):
        with pytest.raises(InputError, match=words):
            several_payload(page, opened, PageCache(), list(rows))
    with pytest.raises(InputError, match="There is no point 99"):
        from_point_payload(page, opened, PageCache(), 99)
