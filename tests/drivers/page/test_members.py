"""The members of a map for the server page: colours by tags, links to what may be read."""

from __future__ import annotations

from mlflow import MlflowClient

from mlflow_modelmap import build_map
from mlflow_modelmap.drivers.page import members
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.lists import list_experiments
from mlflow_modelmap.drivers.page.members import members_payload
from mlflow_modelmap.drivers.page.opened import open_run
from tests.drivers.page.reading import payload, reads
from tests.page_site import NASTY
from tests.scored import made_up, write_score


def test_tags_of_members_can_be_coloured_by(page, site):
    told = members_payload(page, open_run(page, site.runs["map"]), PageCache())
    drawn = payload(page, site, "map")
    by = {of["title"]: of for of in told["colourings"]}
    row = drawn["run_id"].index(site.runs["member"])
    assert by["team"]["values"][row] == NASTY
    assert set(by["team"]["groups"]) == {NASTY, "team 0", "team 1", "team 2"}
    assert by["learning_rate"]["kind"] == "scale"
    assert by["learning_rate"]["values"][row] == 0.001
    assert "modelmap.identity" not in by
    assert [of["title"] for of in told["colourings"]][:2] == ["learning_rate", "team"]


def test_a_deleted_member_has_no_link_and_no_tags(page, site):
    drawn = payload(page, site, "map")
    told = members_payload(page, open_run(page, site.runs["map"]), PageCache())
    gone = drawn["run_id"].index(site.runs["gone"])
    assert told["experiments"][gone] is None
    assert told["experiments"].count(None) == 1


def test_members_of_an_experiment_that_may_not_be_read(site):
    family = site.experiments["family"]
    some = reads(site.store, lambda ids: [of for of in ids if of == family])
    drawn = payload(some, site, "map")
    told = members_payload(some, open_run(some, site.runs["map"]), PageCache())
    hidden = drawn["run_id"].index(site.runs["nasty"])
    assert told["experiments"][hidden] is None
    assert all(of["values"][hidden] is None for of in told["colourings"])
    assert [of["name"] for of in list_experiments(some)["experiments"]] == ["family"]


def test_a_tag_of_very_many_values_is_left_out(store):
    values, size = made_up(70)
    below_zero = values - max(0.0, values.max())
    for k, row in enumerate(below_zero):
        run_id = write_score(store, f"m{k}", row, size)
        MlflowClient(store).set_tag(run_id, "serial", f"serial {k}")
        MlflowClient(store).set_tag(run_id, "half", str(k % 2))
    made = build_map(["test"])
    page = reads(store)
    told = members_payload(page, open_run(page, made.run_id), PageCache())
    assert [of["title"] for of in told["colourings"]] == ["half"]


def test_members_are_kept_for_a_short_time_apart_for_other_readers(store, monkeypatch):
    values, size = made_up(3)
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    made = build_map(["test"])
    page, cache = reads(store), PageCache()
    opened = open_run(page, made.run_id)
    before = members_payload(page, opened, cache)["experiments"]
    assert None not in before
    MlflowClient(store).delete_run(ids[0])
    assert members_payload(page, opened, cache)["experiments"] == before
    nobody = reads(store, lambda of: [])
    monkeypatch.setattr(members, "map_payload", lambda *_: {"run_id": ids})
    assert members_payload(nobody, opened, cache)["experiments"] == [None] * 3
    monkeypatch.setattr(members, "KEPT_SECONDS", -1.0)
    assert members_payload(page, opened, cache)["experiments"].count(None) == 1
