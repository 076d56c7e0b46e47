"""A score for the server page: what it is of, and on which maps it stands."""

from __future__ import annotations

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.score import score_payload
from tests.drivers.page.reading import reads
from tests.page_site import NASTY


def test_a_score_lists_the_maps_that_it_is_on(page, site):
    told = score_payload(page, open_run(page, site.runs["member"]), PageCache())
    assert told["facts"]["Trajectory"] == "tiny-seed0"
    assert told["facts"]["Step"] == "0"
    listed = {of["run_id"]: of for of in told["maps"]}
    assert site.runs["map"] in listed
    assert listed[site.runs["map"]]["points"] == ["tiny seed 0 step 0"]
    # Deleted, damaged, unfinished ones and those of a newer version are no maps to go to.
    for name in ("deleted map", "damaged", "unfinished", "newer", "in deleted"):
        assert site.runs[name] not in listed


def test_a_map_that_may_not_be_read_is_not_told(site):
    other = site.experiments[NASTY]
    page = reads(site.store, lambda ids: [of for of in ids if of == other])
    told = score_payload(page, open_run(page, site.runs["nasty"]), PageCache())
    assert told["maps"] == []
    assert told["looked_at"] == 0
