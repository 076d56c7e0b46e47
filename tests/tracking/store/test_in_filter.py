"""Values that a filter can ask a real store for, and those that it cannot."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap.tracking.registry.versions import versions_of
from mlflow_modelmap.tracking.store.in_filter import in_filter

ASKED = (
    *("plain", "Anna's", 'a "new" one', "'", '"', "it''s", '""', "a = 'b", '" AND "'),
    *(
        "back\\slash",
        "back\\'s",
        "`tick`",
        "semi; colon",
        "-- no comment",
        "/* none */",
        "100%",
        "a_b",
    ),
    *("two\nlines", "  around  ", "Grüße 京都 🦊"),
)
NOT_ASKED = ("", "  ", 'Anna\'s "best"', "zero\0byte", "half \ud800 pair", "a folder\\")


def test_the_store_finds_what_is_asked_for_and_nothing_else(store):
    client = mlflow.MlflowClient(store)
    where = client.get_experiment_by_name("test").experiment_id
    ids = {
        value: client.create_run(where, run_name=value, tags={"modelmap.model": value}).info.run_id
        for value in ASKED
    }
    for value, run_id in ids.items():
        asked = [f"{key} = {in_filter(value)}" for key in ("run_name", "tags.`modelmap.model`")]
        for one in (*asked, " AND ".join(asked)):
            found = client.search_runs([where], one)
            assert [run.info.run_id for run in found] == [run_id], one


@pytest.mark.parametrize("value", NOT_ASKED)
def test_what_no_filter_can_ask_for_has_no_quotes(value):
    assert in_filter(value) is None


def test_versions_are_found_whatever_the_model_is_called(store):
    client = mlflow.MlflowClient(store)
    names = ["plain", "Anna's", 'Anna\'s "best"']
    for name in names:
        client.create_registered_model(name)
        client.create_model_version(name, "s3://nowhere")
    for name in names:
        assert [version.name for version in versions_of(name, client)] == [name]
    assert versions_of("none's", client) == []
