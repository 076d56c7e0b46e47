"""A text set in MLflow: logged, shown, found by a filter, read again."""

from __future__ import annotations

import json

import mlflow
import mlflow.data
import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset, TextSetSource, from_text_set


def test_a_text_set_goes_through_log_input_and_is_found_by_its_digest(store, texts):
    with mlflow.start_run() as run:
        mlflow.log_input(from_text_set(texts), context="scoring")
    digest = texts.digest[:32]
    found = mlflow.search_runs(
        filter_string=f"dataset.digest = '{digest}' AND dataset.name = 'short texts'",
        output_format="list",
    )
    assert [r.info.run_id for r in found] == [run.info.run_id]
    dataset = found[0].inputs.dataset_inputs[0].dataset
    assert json.loads(dataset.profile)["sha256"] == texts.digest
    assert json.loads(dataset.profile)["texts"] == 24


def test_mlflow_offers_the_constructor_and_resolves_the_source(store, texts, tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(list(texts.texts)), encoding="utf-8")
    dataset = mlflow.data.from_text_set(texts, source=str(path))
    assert isinstance(dataset, TextSetDataset)
    with mlflow.start_run() as run:
        mlflow.log_input(dataset)
    logged = mlflow.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset
    source = mlflow.data.get_source(logged)
    assert isinstance(source, TextSetSource)
    assert source.load().digest == texts.digest


def test_a_source_in_memory_cannot_be_read_again(texts):
    with pytest.raises(InputError, match="made in memory"):
        from_text_set(texts).source.load()


def test_no_password_gets_into_the_source():
    assert TextSetSource("https://me:secret@host/x.jsonl").to_dict() == {
        "uri": "https://host/x.jsonl"
    }


def test_the_source_resolves_nothing_but_text_sets():
    assert TextSetSource._can_resolve(TextSet("x", ("a b",)))
    assert not TextSetSource._can_resolve("texts.jsonl")
