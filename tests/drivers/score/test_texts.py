"""The texts that people name: read once, and they know where from."""

from __future__ import annotations

import dataclasses
import json

import mlflow

from mlflow_modelmap import TextSet, score
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset


def test_a_text_set_is_taken_as_it_is(texts):
    assert load_texts(texts) is texts


def test_a_path_is_known_afterwards_wherever_the_process_stands(text_file, texts, monkeypatch):
    monkeypatch.chdir(text_file.parent)
    loaded = load_texts(text_file.name)
    assert loaded.source == str(text_file)
    assert load_texts("python-docs:3").source == "python-docs:3"
    assert (loaded.digest, loaded) == (texts.digest, dataclasses.replace(loaded, source=None))


def test_the_run_says_where_the_texts_are(store, tiny_model, text_file):
    done = score(tiny_model, text_file)
    (logged,) = mlflow.get_run(done.run_id).inputs.dataset_inputs
    assert json.loads(logged.dataset.source) == {"uri": str(text_file)}
    assert TextSetDataset(load_texts(text_file)).source.load().digest == done_digest(done)
    assert TextSetDataset(TextSet("a", ("one text",))).source.uri is None


def done_digest(done):
    return mlflow.get_run(done.run_id).data.tags["modelmap.text_set"]
