"""What stands above every run's page: the notices that loading it gives, whatever its kind."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.page.opened import KINDS, OPENED, head, open_run
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study, write_study
from mlflow_modelmap.tracking.store.server_store import ServerStore


@pytest.fixture
def page(store: str) -> ServerStore:
    return ServerStore(MlflowClient(store)._tracking_client.store, lambda uri: uri)


@pytest.mark.parametrize("kind", ["map", "trajectory", "scale", "lineage", "gate"])
def test_notices_are_those_that_loading_gives(page, kind):
    said = [f"Text {number} was left out." for number in range(400)]
    few, many, none = (
        write_study(kind, notices=notices, experiment="test") for notices in (said[:2], said, ())
    )
    for run_id in (few, many, none):
        shown = head(page, open_run(page, run_id))["notices"]
        assert shown == list(load_study(run_id).notices)
    assert head(page, open_run(page, many))["notices"] == said


def test_notices_that_the_first_version_left_in_a_file_are_shown(page):
    run_id = write_study("lineage", texts={"notices.txt": "One.\nTwo."}, experiment="test")
    assert head(page, open_run(page, run_id))["notices"] == ["One.", "Two."]


def test_notices_that_are_lost_are_said_and_hide_nothing_else(page, store):
    run_id = write_study("map", notices=["Left out."] * 999, name="m", experiment="test")
    root = urlsplit(MlflowClient(store).get_run(run_id).info.artifact_uri).path
    (Path(root) / "modelmap" / "long_values.json").unlink()
    above = head(page, open_run(page, run_id))
    assert above["name"] == "m"
    assert len(above["notices"]) == 1
    assert "long_values.json is missing" in above["notices"][0]


def test_what_a_tag_says_is_quoted_on_one_line(page, store):
    run_id = write_study("map", experiment="test")
    MlflowClient(store).set_tag(run_id, "modelmap.error", "worse\n\u202eworst")
    with pytest.raises(InputError, match=r"is failed \(worse worst\), not finished"):
        open_run(page, run_id)


def test_a_study_that_the_page_shows_is_linked_to_and_no_other(page, store):
    client = MlflowClient(store)
    for kind in (*KINDS, *schema.WITHOUT_VIEW):
        if kind != schema.KIND_MONITOR:  # a training's own run
            run_id = write_study(kind, experiment="test")
            said = client.get_run(run_id).data.tags["mlflow.note.content"]
            assert (f"modelmap/?run={run_id}" in said) == (kind in OPENED), kind
