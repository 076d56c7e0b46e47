"""Lineage of a registry on a real MLflow server: versions, aliases, tags, links, scores."""

from __future__ import annotations

import json
import shutil

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from mlflow_modelmap import TextSet
from mlflow_modelmap.texts.sources.python_docs import python_docs
from mlflow_modelmap.texts.write import write_texts
from tests import forking
from tests.logged import log_model
from tests.serving import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def server(_empty_store, tmp_path, monkeypatch):
    """The address of an `mlflow server` that keeps artifacts itself."""
    shutil.copy(_empty_store, tmp_path / "mlflow.db")
    with serving(tmp_path, "--workers", "1", "--artifacts-destination", "artifacts") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        mlflow.set_tracking_uri(address)
        yield address


def changed(source, target, size, seed):
    """A copy of a model with noise on its weights."""
    shutil.copytree(source, target)
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: value + size * value.std(correction=0) * torch.randn(value.shape, generator=generator)
        for name, value in load_file(source / "model.safetensors").items()
    }
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return target


def register(folder, name, parent=None):
    """Log a model with mlflow.transformers as version of a registered model."""
    with mlflow.start_run():
        if parent:
            mlflow.set_tag("base_model", parent)
        log_model(folder, registered_model_name=name)


def test_a_registry_is_scored_measured_and_tagged(server, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    client = MlflowClient(server)
    mlflow.set_experiment("training")
    chat = changed(tiny_model, tmp_path / "chat", 0.05, 1)
    tool = changed(chat, tmp_path / "tool", 0.02, 2)
    code = changed(tiny_model, tmp_path / "code", 0.05, 3)
    register(tiny_model, "team-base")
    client.set_registered_model_alias("team-base", "production", "1")
    register(chat, "team-chat", parent="models:/team-base@production")
    register(tool, "team-chat")
    client.set_model_version_tag("team-chat", "2", "base_model", "team-chat/1")
    register(code, "team-code")
    client.set_registered_model_tag("team-code", "base_model", "team-base")
    client.create_registered_model("team-orphan")
    run = client.create_run(client.get_experiment_by_name("training").experiment_id).info
    client.create_model_version(
        "team-orphan",
        source=f"{run.artifact_uri}/nothing",
        run_id=run.run_id,
        tags={"base_model": "/no/such/parent"},
    )
    mlflow.MlflowClient(server).create_experiment("lineage")
    pieces = (text[at : at + 60] for text in python_docs(40).texts for at in (0, 200, 400, 600))
    write_texts(TextSet("pieces", tuple(pieces)), tmp_path / "texts.jsonl")
    command = ["-m", "mlflow_modelmap", "lineage", "--json", "--no-hub"]
    command += ["--registered-models", "name LIKE 'team-%'", "--output-experiment", "lineage"]
    command += ["--precision", "float32", "--device", "cpu"]

    def call(*more):
        return forking.run(*command, *more)

    unscored = call("--no-score")
    assert unscored.returncode == 1
    assert "0 of 5 models could be measured" in unscored.stderr
    assert "5 models are not scored" in unscored.stderr
    done = call("--texts", str(tmp_path / "texts.jsonl"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parent = {row["child"]: row["parent"] for row in found["lineage"]}
    assert parent["team-chat/1"] == "team-base/1"
    assert parent["team-chat/2"] == "team-chat/1"
    assert parent["team-code/1"] == "team-base/1"
    source = {row["child"]: row["source"] for row in found["lineage"]}
    assert source["team-chat/1"] == "run tag"
    assert source["team-code/1"] == "registered model tag"
    assert found["agreement"]["claimed"] == found["agreement"]["nearest"] == 3
    assert any("'team-orphan/1' could not be scored" in notice for notice in found["notices"])
    assert any("'/no/such/parent' of 'team-orphan/1'" in notice for notice in found["notices"])
    for row in found["lineage"]:
        if row["kl"] is not None:
            tags = client.get_model_version(*row["child"].split("/")).tags
            assert float(tags["modelmap.kl_to_parent"]) == pytest.approx(row["kl"], rel=1e-4)
            assert tags["modelmap.lineage_run"] == found["run_id"]
    run = client.get_run(found["run_id"])
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "lineage"
    # Everything is scored now: again is quick, needs no texts, and gives the same numbers.
    again = call()
    assert again.returncode == 1
    assert "'team-orphan/1'" in again.stderr
    again = call("--no-score")
    assert again.returncode == 0, again.stderr
    values = {row["child"]: row["kl"] for row in json.loads(again.stdout)["lineage"]}
    assert values == pytest.approx({row["child"]: row["kl"] for row in found["lineage"]})
