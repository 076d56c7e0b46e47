"""Scored points as LoggedModels: what the Models tab lists, and what never costs a score."""

from __future__ import annotations

import shutil

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from mlflow_modelmap import Monitor, score
from mlflow_modelmap.tracking.runs.logged_model import SWITCH
from tests.logged import log_model
from tests.training import model_of, monitoring_texts, start_model, tokenizer_of


@pytest.fixture(autouse=True)
def on(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)


def models(store, experiment="test"):
    client = mlflow.MlflowClient(store)
    where = client.get_experiment_by_name(experiment).experiment_id
    return client.search_logged_models([where], order_by=[{"field_name": "creation_time"}])


def test_a_score_is_a_model_with_metrics_on_its_texts(store, tiny_model, texts, caplog):
    about = {"model_type": "mine", "step": 3, "trajectory": "a"}
    called = f"team/a:1.5%{'b' * 600}"
    made = score(tiny_model, texts, name=called, experiment="test", progress=False, **about)
    (model,) = models(store)
    assert model.name == f"team-a-1-5-{'b' * 114}…{'b' * 124}"  # the run's, of 250 characters
    assert (str(model.status), model.model_type) == ("READY", "mine")
    assert model.source_run_id == made.run_id
    assert model.params["modelmap.model"] == str(tiny_model)
    assert model.params["modelmap.precision"] == "float32"
    assert (model.params["modelmap.trajectory"], model.params["modelmap.step"]) == ("a", "3")
    assert model.tags["modelmap.text_set"] == texts.digest
    assert model.tags["mlflow.model.isExternal"] == "true"
    assert not {"modelmap.process", "modelmap.identity", "modelmap.vector"} & set(model.tags)
    metrics = {metric.key: metric for metric in model.metrics}
    assert metrics["modelmap/bits_per_byte"].value == pytest.approx(made.bits_per_byte)
    assert metrics["modelmap/bits_per_byte"].step == 3
    run = mlflow.get_run(made.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    (dataset,) = run.inputs.dataset_inputs
    of = metrics["modelmap/bits_per_byte"]
    assert (of.dataset_name, of.dataset_digest) == (dataset.dataset.name, dataset.dataset.digest)
    found = mlflow.search_logged_models(
        [run.info.experiment_id], "metrics.`modelmap/bits_per_byte` > 0", output_format="list"
    )
    assert [one.model_id for one in found] == [model.model_id]
    assert caplog.text == ""


@pytest.mark.parametrize("reference", ["models:/team/1", "models:/{}"])
def test_a_logged_model_and_a_version_made_of_it_are_that_model(
    store, tiny_model, texts, reference
):
    client = mlflow.MlflowClient(store)
    with mlflow.start_run():
        own = log_model(tiny_model, registered_model_name="team").model_id
    made = score(reference.format(own), texts, experiment="elsewhere", progress=False)
    assert list(models(store, "elsewhere")) == []
    metrics = {metric.key: metric.value for metric in client.get_logged_model(own).metrics}
    assert metrics["modelmap/bits_per_byte"] == pytest.approx(made.bits_per_byte)
    inputs = client.get_run(made.run_id).inputs.model_inputs
    assert [one.model_id for one in inputs] == [own]


@pytest.mark.parametrize("what", ["off", "refused"])
def test_without_them_a_score_is_complete(store, tiny_model, texts, monkeypatch, caplog, what):
    def refused(*_, **__):
        raise MlflowException("no such thing: https://me:secret@host/")

    if what == "off":
        monkeypatch.setenv(SWITCH, "False")
    else:
        monkeypatch.setattr(mlflow.MlflowClient, "create_logged_model", refused)
    made = score(tiny_model, texts, name="a", experiment="test", progress=False)
    run = mlflow.get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["modelmap/bits_per_byte"] == pytest.approx(made.bits_per_byte)
    assert list(models(store)) == []
    said = "'a' is scored, but MLflow's Models tab will not list it" in caplog.text
    assert said == (what == "refused")
    assert "secret" not in caplog.text


def test_a_version_of_a_model_in_another_store_is_a_model_of_its_own(
    store, tiny_model, texts, tmp_path
):
    """As where the registry is shared and the runs are one's own."""
    registry = f"sqlite:///{shutil.copy(tmp_path / 'mlflow.db', tmp_path / 'registry.db')}"
    mlflow.set_tracking_uri(registry)
    with mlflow.start_run():
        log_model(tiny_model, name="m", registered_model_name="team")
    mlflow.set_tracking_uri(store)
    mlflow.set_registry_uri(registry)
    try:
        made = score("models:/team/1", texts, experiment="test", progress=False)
    finally:
        mlflow.set_registry_uri(None)
    assert mlflow.get_run(made.run_id).info.status == "FINISHED"
    (model,) = models(store)
    assert model.source_run_id == made.run_id
    assert {metric.key for metric in model.metrics} >= {"modelmap/bits_per_byte"}


def test_a_store_that_takes_none_is_asked_once_of_a_training(store, tmp_path, monkeypatch, caplog):
    asked = []

    def refused(*_, **__):
        asked.append(1)
        raise MlflowException("no such thing")

    monkeypatch.setattr(mlflow.MlflowClient, "create_logged_model", refused)
    folder = start_model(tmp_path)
    with Monitor(monitoring_texts(), tokenizer=tokenizer_of(folder), name="a") as monitor:
        assert all(monitor.record(model_of(folder), step) for step in (0, 10))
    assert len(asked) == 1
    assert caplog.text.count("Models tab will not list it") == 1


def test_checkpoints_of_a_monitored_training_are_models_too(store, tmp_path):
    folder = start_model(tmp_path)
    model, tokenizer = model_of(folder), tokenizer_of(folder)
    with Monitor(
        monitoring_texts(), tokenizer=tokenizer, name="training", experiment="test"
    ) as monitor:
        for step in (0, 10):
            monitor.record(model, step)
    found = {model.name: model for model in models(store)}
    assert list(found) == ["training step 0", "training step 10"]
    last = found["training step 10"]
    metrics = {metric.key: metric for metric in last.metrics}
    assert metrics["modelmap/bits_per_byte"].step == 10
    assert last.params["modelmap.step"] == "10"
    steps = [
        metric.step
        for metric in mlflow.MlflowClient(store).get_metric_history(
            last.source_run_id, "modelmap/bits_per_byte"
        )
    ]
    assert steps == [0, 10]
