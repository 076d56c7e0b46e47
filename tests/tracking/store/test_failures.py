"""A store that fails is not a run, a model or an experiment that is missing."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap import InputError, ModelReference, TrackingError
from mlflow_modelmap.tracking.registry.versions import (
    fixed_version,
    registered_versions,
    with_version,
)
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.runs.find_score import scores_with
from mlflow_modelmap.tracking.runs.monitor_run import open_monitor_run
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.store.client import client as client_of
from mlflow_modelmap.tracking.store.experiments import (
    experiment_id,
    experiment_name,
    find_experiments,
)
from mlflow_modelmap.tracking.store.server_store import ServerStore
from tests.serving import serving

ABSENT = ("nope", "0" * 32, "a'b", "../x", "x" * 300)


def log_into(store, run_id):
    with open_run("map", store=store, run_id=run_id):
        pass


def monitor_in(store, run_id, texts):
    open_monitor_run(store, TextSetDataset(texts), run_id=run_id)


BY_ID = {
    "loaded": lambda store, run_id, _: load_study(run_id, store=store),
    "selected": lambda store, run_id, _: select_runs(run_ids=[run_id], store=store),
    "many selected": lambda store, run_id, _: select_runs(run_ids=list("abcd"), store=store),
    "logged into": lambda store, run_id, _: log_into(store, run_id),
    "monitored": monitor_in,
}
IN_ALL = {
    "an experiment's": lambda store, *_: select_runs(["test"], store=store),
    "filtered": lambda store, *_: select_runs(filter="tags.x = 'y'", store=store),
    "found": lambda store, *_: scores_with(["i"], ["0"], store),
    "experiments": lambda store, *_: find_experiments((), store),
    "an experiment": lambda store, *_: find_experiments(("test",), store),
    "an experiment by id": lambda store, *_: find_experiments(("77",), store),
    "an experiment to make": lambda store, *_: experiment_id("new", store),
    "an experiment's name": lambda store, *_: experiment_name("0", store),
    "registered models": lambda store, *_: registered_versions("name LIKE 'a%'", store, []),
    "a version": lambda store, *_: with_version(ModelReference.parse("models:/m/1"), store),
}


@pytest.mark.parametrize("run_id", ABSENT)
@pytest.mark.parametrize("what", sorted(set(BY_ID) - {"many selected"}))
def test_an_id_that_nothing_has_is_a_run_that_is_missing(store, texts, what, run_id):
    with pytest.raises(InputError, match="There is no run"):
        BY_ID[what](mlflow.MlflowClient(store), run_id, texts)


@pytest.mark.parametrize("of", ["/1", "/x", "@a", "/latest"])
def test_a_version_that_the_registry_has_not_is_missing(store, of):
    with pytest.raises(InputError, match="There is no model"):
        fixed_version(ModelReference.parse(f"models:/m{of}"))


@pytest.mark.parametrize("what", [*BY_ID, *IN_ALL])
def test_a_database_that_is_damaged_is_no_run_that_is_missing(store, texts, what):
    run_id = mlflow.MlflowClient(store).create_run("0").info.run_id
    client = client_of(store)
    damage(Path(store.removeprefix("sqlite:///")))
    with pytest.raises(TrackingError, match=r"cannot be (read|fetched).*sqlite:///") as said:
        (BY_ID | IN_ALL)[what](client, run_id, texts)
    assert "\n" not in str(said.value)


def damage(path: Path) -> None:
    """What is left of a database whose file was overwritten while it was open."""
    path.write_bytes(b"nothing of a database" * (path.stat().st_size // 20))


def test_a_damaged_database_is_said_to_those_who_open_it(store):
    damage(Path(store.removeprefix("sqlite:///")))
    with pytest.raises(TrackingError, match="is not a sqlite database"):
        load_study("0" * 32)


def test_a_servers_own_store_that_fails_is_no_run_that_is_missing(store):
    server = ServerStore(mlflow.MlflowClient(store)._tracking_client.store, lambda uri: uri)
    assert server.find_run("0" * 32) is None
    assert server.find_experiment("77") is None
    damage(Path(store.removeprefix("sqlite:///")))
    for ask in (
        lambda: server.find_run("0" * 32),
        lambda: server.find_experiment("0"),
        lambda: server.get_run("0" * 32),
        lambda: server.experiments(),
        lambda: server.search(["0"], ""),
        lambda: server.metric_history("0" * 32, "m"),
    ):
        with pytest.raises(TrackingError, match="does not answer"):
            ask()


@pytest.mark.slow
def test_a_server_that_was_stopped_is_no_run_that_is_missing(store, tmp_path, texts, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(tmp_path, "--workers", "1") as address:
        store = client_of(address)
        mlflow.set_tracking_uri(address)
        where = store.create_experiment("served")
        run = store.create_run(where, tags={"modelmap.kind": "map"})
        store.set_terminated(run.info.run_id)
        run_id, root = run.info.run_id, run.info.artifact_uri
        assert root.startswith("mlflow-artifacts:")
        for absent in ABSENT:
            for what in set(BY_ID) - {"many selected"}:
                with pytest.raises(InputError, match="There is no run"):
                    BY_ID[what](store, absent, texts)
        with pytest.raises(InputError, match="There is no model"):
            fixed_version(ModelReference.parse("models:/m/1"))
        with pytest.raises(TrackingError, match=r"is damaged: its .*kl\.parquet is missing"):
            load_study(run_id, tables=["kl"], store=store)
        assert load_study(run_id, optional=["kl"], store=store).tables == {}
    for what, read in (BY_ID | IN_ALL).items():
        with pytest.raises(TrackingError, match=r"cannot be (read|fetched|listed) from") as said:
            read(store, run_id, texts)
        assert "\n" not in str(said.value), what
    with pytest.raises(TrackingError, match=r"(listed|fetched) from 'http") as said:
        read_artifact(run_id, root, "kl.parquet", store)
    assert "damaged" not in str(said.value)
