"""Which runs the server page lists and opens, and one sentence for those it does not."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.page.lists import list_experiments, list_runs
from mlflow_modelmap.drivers.page.opened import open_run
from tests.drivers.page.reading import reads
from tests.page_site import NASTY


def test_experiments_are_listed_with_what_can_be_opened(page, site):
    told = list_experiments(page)
    kinds = {of["name"]: of["kinds"] for of in told["experiments"]}
    expected = {"map": 3, "trajectory": 1, "monitor": 1, "scale": 1, "lineage": 1, "gate": 1}
    expected |= dict.fromkeys(("quantization", "layers", "prompts", "exact"), 1)
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
        ("newer", r"newer mlflow-modelmap \(schema 99; this one reads 1\); upgrade"),
        ("weights", "is of kind 'weights', not 'map', 'trajectory'"),
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


def test_an_id_in_an_artifact_that_is_none_ends_no_filter(page, site):
    gone = f"{site.runs['gone']}') OR ('1' = '1"
    assert list(page.runs_by_id([gone, site.runs["member"], ""])) == [site.runs["member"]]
