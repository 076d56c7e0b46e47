"""What the server page is given: only what the store shows, right, and one sentence otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlflow_modelmap import InputError, TrackingError, build_map, load_map
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.lineage import lineage_payload
from mlflow_modelmap.drivers.page.lists import head, list_experiments, list_runs, open_run
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.members import members_payload
from mlflow_modelmap.drivers.page.monitor import monitor_payload
from mlflow_modelmap.drivers.page.pair import pair_payload
from mlflow_modelmap.drivers.page.scale import scale_payload
from mlflow_modelmap.drivers.page.training import trajectory_payload
from mlflow_modelmap.numerics.divergence.kl import confidence_interval
from mlflow_modelmap.numerics.scale.paper_scale import in_words
from mlflow_modelmap.tracking.store.server_store import ServerStore, everybody
from tests.page_site import NASTY, STEPS, Site, make_site
from tests.scored import made_up, write_family, write_score


def reads(store: str, may_read=everybody) -> ServerStore:
    """As a server process holds them."""
    return ServerStore(MlflowClient(store)._tracking_client.store, lambda uri: uri, may_read)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _empty_store) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), _empty_store)


@pytest.fixture
def page(site: Site) -> ServerStore:
    return reads(site.store)


def payload(page: ServerStore, site: Site, name: str, cache: PageCache | None = None):
    return map_payload(page, open_run(page, site.runs[name]), cache or PageCache())


def test_experiments_are_listed_with_what_can_be_opened(page, site):
    told = list_experiments(page)
    kinds = {of["name"]: of["kinds"] for of in told["experiments"]}
    expected = {"map": 3, "trajectory": 1, "monitor": 1, "scale": 1, "lineage": 1, "gate": 1}
    assert kinds == {"family": expected, "scored only": {}, NASTY: {}}
    json.dumps(told, allow_nan=False)


def test_an_experiments_runs_are_listed_without_deleted_and_unfinished_ones(page, site):
    told = list_runs(page, site.experiments["family"])
    listed = {run["run_id"] for run in told["runs"]}
    for name in ("map", "trajectory", "scale", "lineage", "gate", "monitor", "damaged"):
        assert site.runs[name] in listed
    for name in ("deleted map", "unfinished", "in deleted", "member"):
        assert site.runs[name] not in listed


def test_an_empty_store_says_what_to_run(store):
    told = list_experiments(reads(store))
    assert told["experiments"] == []
    assert "modelmap score" in told["empty"]
    assert "modelmap map" in told["empty"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scored only", 'modelmap map --experiment "scored only"'),
        ("no runs", 'modelmap score MODEL --experiment "no runs"'),
    ],
)
def test_an_experiment_without_maps_says_what_to_run(page, site, name, words):
    told = list_runs(page, site.experiments[name])
    assert told["runs"] == []
    assert words in told["empty"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deleted map", r"was deleted; `mlflow runs restore --run-id \w{32}`"),
        ("in deleted", r"was deleted; `mlflow"),
        ("unfinished", "is running, not finished"),
        ("newer", r"newer mlflow-modelmap \(schema 99; this server reads 1\); upgrade"),
        ("member", "is of kind 'score', and this page shows runs of kind map"),
    ],
)
def test_a_run_that_cannot_be_shown_is_told_in_a_sentence(page, site, name, words):
    with pytest.raises(InputError, match=words):
        open_run(page, site.runs[name])


@pytest.mark.parametrize("run_id", ["", "../../etc/passwd", "a" * 300, "a'b", "é", "0" * 32 + "\n"])
def test_what_is_no_run_id_is_refused_unasked(page, run_id):
    with pytest.raises(InputError, match="is no run id"):
        open_run(page, run_id)


def test_an_unknown_run_and_a_forbidden_one_are_told_alike(site):
    nobody = reads(site.store, lambda ids: [])
    said = []
    for run_id in ("0" * 32, site.runs["map"]):
        with pytest.raises(InputError) as told:
            open_run(nobody, run_id)
        said.append(str(told.value).replace(run_id, "RUN"))
    assert said[0] == said[1]


@pytest.mark.parametrize("experiment", ["", "x", "1' OR 1=1", "9" * 30, "99999"])
def test_an_experiment_that_is_not_there(page, experiment):
    with pytest.raises(InputError, match=r"is no experiment id|There is no experiment"):
        list_runs(page, experiment)


def test_a_deleted_experiment(page, site):
    with pytest.raises(InputError, match=r"was deleted; `mlflow experiments restore -x"):
        list_runs(page, site.experiments["deleted"])


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
    top = head(open_run(page, site.runs["map"]))
    assert top["texts"] == made.texts
    assert top["notices"] == list(made.notices)


def test_every_pair_is_what_load_map_gives(page, site):
    cache = PageCache()
    made = load_map_in(site, "map")
    opened = open_run(page, site.runs["map"])
    for a, b in ((0, 1), (3, 20), (20, 3), (5, 5)):
        told = pair_payload(page, opened, cache, a, b)
        names = made.points["point"]
        kl, se = made.between(names[a], names[b])
        low, high = confidence_interval(kl, se)
        assert (told["kl"], told["se"]) == (kl, se)
        assert (told["low"], told["high"]) == (float(low), float(high))
        assert told["words"] == in_words(kl, se)
        assert [of["row"] for of in told["points"]] == [a, b]


@pytest.mark.parametrize("row", [-1, 10_000])
def test_a_row_that_is_none_of_the_maps(page, site, row):
    with pytest.raises(InputError, match=rf"There is no point {row} on this map; its points are 0"):
        pair_payload(page, open_run(page, site.runs["map"]), PageCache(), 0, row)


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


def test_what_one_may_not_read_is_not_shown_from_the_cache(site):
    cache = PageCache()
    page = reads(site.store)
    map_payload(page, open_run(page, site.runs["map"]), cache)
    nobody = reads(site.store, lambda ids: [])
    with pytest.raises(InputError, match="that you may read"):
        map_payload(nobody, open_run(nobody, site.runs["map"]), cache)


def test_a_trajectory_with_intervals(page, site):
    told = trajectory_payload(page, open_run(page, site.runs["trajectory"]), PageCache())
    assert [line["name"] for line in told["trajectories"]] == ["tiny-seed0", "tiny-seed1"]
    line = told["trajectories"][0]
    assert [row["step"] for row in line["kl_previous"]] == list(STEPS[1:])
    assert all(row["low"] < row["kl"] < row["high"] for row in line["kl_previous"])
    assert [row["step"] for row in line["bits_per_byte"]] == list(STEPS)
    assert all(row["low"] <= row["exponent"] <= row["high"] for row in line["exponents"])
    assert line["exponents"]
    json.dumps(told, allow_nan=False)


def test_a_training_that_goes_on(page, site):
    opened = open_run(page, site.runs["monitor"])
    assert head(opened)["status"] == "RUNNING"
    (line,) = monitor_payload(page, opened)["trajectories"]
    assert [row["step"] for row in line["bits_per_byte"]] == [100, 200, 300]
    assert [(r["step_from"], r["step"], r["kl"], r["se"]) for r in line["kl_previous"]] == [
        (100, 200, 10 / 200, 1 / 200),
        (200, 300, 10 / 300, 1 / 300),
    ]
    assert [(row["t1"], row["low"], row["high"]) for row in line["exponents"]] == [(300, 0.5, 1.5)]


def test_the_anomalies_of_a_training_are_told_in_its_words(page, site):
    told = monitor_payload(page, open_run(page, site.runs["monitor"]))["anomalies"]
    assert [(of["step"], of["what"]) for of in told] == [
        (200, "breaks continuity"),
        (300, "jump: 4.0 times the expected KL; really"),
    ]


def test_scale_and_lineage(page, site):
    groups = scale_payload(page, open_run(page, site.runs["scale"]), PageCache())["groups"]
    assert {"Later", "Seed", "Random"} & {row["group"] for row in groups}
    assert all(row["median"] > 0 for row in groups)
    rows = lineage_payload(page, open_run(page, site.runs["lineage"]), PageCache())["rows"]
    (child,) = [row for row in rows if row["child"] == "child"]
    assert child["parent"] == "tiny seed 0 step 12000"
    assert child["kl"] > 0
    json.dumps([groups, rows], allow_nan=False)


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


def test_an_id_in_an_artifact_that_is_none_ends_no_filter(page, site):
    gone = f"{site.runs['gone']}') OR ('1' = '1"
    assert list(page.runs_by_id([gone, site.runs["member"], ""])) == [site.runs["member"]]


def test_points_that_do_not_fit_together_are_damage(store, tmp_path):
    write_family(store)
    made = build_map(["test"])
    (path,) = tmp_path.rglob("nearest.parquet")
    pd.read_parquet(path).assign(neighbour="nobody").to_parquet(path)
    page = reads(store)
    with pytest.raises(TrackingError, match=r"is damaged: what its artifacts hold does not fit"):
        map_payload(page, open_run(page, made.run_id), PageCache())


def test_a_tag_of_very_many_values_is_left_out(store):
    values, size = made_up(70)
    for k, row in enumerate(values):
        run_id = write_score(store, f"m{k}", row, size)
        MlflowClient(store).set_tag(run_id, "serial", f"serial {k}")
        MlflowClient(store).set_tag(run_id, "half", str(k % 2))
    made = build_map(["test"])
    page = reads(store)
    told = members_payload(page, open_run(page, made.run_id), PageCache())
    assert [of["title"] for of in told["colourings"]] == ["half"]


def test_the_cache_stays_within_its_bounds():
    cache = PageCache(most_bytes=10_000)
    made = []

    def make(key, size=3_000):
        return cache.get(key, lambda: made.append(key) or np.zeros(size // 8))

    for key in "abc":
        make(key)
    make("a")
    make("d")
    assert cache.held_bytes <= 10_000
    make("a")
    make("b")
    assert made == ["a", "b", "c", "d", "b"]
    make("huge", 50_000)
    make("huge", 50_000)
    assert made[-2:] == ["huge", "huge"]


def artifact(page: ServerStore, site: Site, run: str, name: str) -> Path:
    root = page.get_run(site.runs[run]).info.artifact_uri
    return Path(urlsplit(root).path) / "modelmap" / name


def load_map_in(site: Site, name: str):
    import mlflow

    mlflow.set_tracking_uri(site.store)
    return load_map(site.runs[name])
