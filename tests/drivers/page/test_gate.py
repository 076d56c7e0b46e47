"""What the server page is given of a gate: as it was decided, with links that one may follow."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.gate import gate_payload
from mlflow_modelmap.drivers.page.lists import list_runs
from mlflow_modelmap.drivers.page.opened import open_run
from tests.drivers.page.reading import artifact, reads
from tests.page_site import NASTY


def test_a_gate_is_given_as_it_was_decided(page, site):
    opened = open_run(page, site.runs["gate"])
    told = gate_payload(page, opened, PageCache())
    assert told["verdict"] == opened.run.data.tags["modelmap.gate"] == "fail"
    assert opened.run.data.tags["mlflow.note.content"].startswith(f"{told['paragraph']}\n\n[")
    written = json.loads(artifact(page, site, "gate", "decision.json").read_text())
    assert [of["verdict"] for of in told["limits"]] == ["fail", "pass"]
    for shown, of in zip(told["limits"], written["limits"], strict=True):
        assert shown == of
    candidate, reference = told["models"]
    assert candidate["name"] == f"challenger {NASTY}"
    assert (candidate["run_id"], reference["run_id"]) == (
        site.runs["gate's candidate"],
        site.runs["gate's reference"],
    )
    assert (candidate["experiment"], reference["experiment"]) == (
        site.experiments[NASTY],
        site.experiments["family"],
    )
    json.dumps(told, allow_nan=False)


def test_a_gate_is_listed_with_its_verdict_and_both_models(page, site):
    runs = list_runs(page, site.experiments["family"])["runs"]
    (listed,) = [run for run in runs if run["kind"] == "gate"]
    assert listed["verdict"] == "fail"
    assert listed["note"] == f"challenger {NASTY} against champion, {NASTY}"
    assert {run["verdict"] for run in runs if run["kind"] != "gate"} == {None}


def test_a_gates_run_that_may_not_be_read_has_no_link_whoever_asked_before(site):
    cache = PageCache()
    everything = reads(site.store)
    gate_payload(everything, open_run(everything, site.runs["gate"]), cache)
    some = reads(site.store, lambda ids: [of for of in ids if of == site.experiments["family"]])
    told = gate_payload(some, open_run(some, site.runs["gate"]), cache)
    assert [of["experiment"] for of in told["models"]] == [None, site.experiments["family"]]
    nobody = reads(site.store, lambda ids: [])
    with pytest.raises(InputError, match="that you may read"):
        open_run(nobody, site.runs["gate"])


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{", "its artifact modelmap/decision.json cannot be read"),
        ('{"verdict": "pass"}', "does not fit together"),
        ("[]", "does not fit together"),
        ('{"verdict": "perhaps", "limits": []}', "does not fit together"),
    ],
)
def test_a_damaged_decision_names_the_run(store, tmp_path, written, words):
    (tmp_path / "decision.json").write_text(written)
    client = MlflowClient(store)
    where = client.create_experiment("gates", artifact_location=(tmp_path / "kept").as_uri())
    tags = {"modelmap.schema": "1", "modelmap.kind": "gate"}
    run_id = client.create_run(where, tags=tags).info.run_id
    client.log_artifact(run_id, str(tmp_path / "decision.json"), "modelmap")
    client.set_terminated(run_id)
    page = reads(store)
    with pytest.raises(TrackingError, match=rf"Run {run_id} is damaged: .*{words}"):
        gate_payload(page, open_run(page, run_id), PageCache())
