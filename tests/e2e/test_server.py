"""A real `mlflow server` in fresh processes: over HTTP, and going away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import Monitor, TrackingError, build_map, load_map
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server without the nine processes for MLflow's own jobs, which each import all of it."""
    started = _start(tmp_path_factory.mktemp("server"), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    yield started
    _stop(started[1])


def _start(folder: Path, **env: str) -> tuple[str, subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = (
        f"mlflow server --host 127.0.0.1 --port {port} --workers 1 --serve-artifacts "
        f"--backend-store-uri sqlite:///mlflow.db --artifacts-destination artifacts "
        f"--app-name modelmap"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=folder,
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")} | env,
    )
    deadline = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return uri, process
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.3)


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def server(running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    mlflow.set_tracking_uri(running[0])
    return running[0]


def test_score_sweep_and_map_over_http(server, tiny_models, texts):
    models = [str(tiny_models(seed=seed)) for seed in range(3)]
    first = score(models[0], texts, experiment="http", progress=False)
    assert score(models[0], texts, experiment="http", progress=False).skipped
    done = sweep({"models": models, "experiment": "http"}, texts=texts, progress=False)
    assert [row.state for row in done.rows] == ["skipped", "scored", "scored"]
    runs = select_runs(["http"])
    assert runs[0].run_id == first.run_id
    assert runs[0].artifact_uri.startswith("mlflow-artifacts:")
    matrix, _ = read_matrix(runs)
    for row, model in enumerate(models):
        expected = score_texts(local_files(model), texts, ScoringSettings())
        assert np.array_equal(matrix.values[row], expected.log_likelihoods)
    assert {r.run_id for r in select_runs(run_ids=[done.run_id])} == {r.run_id for r in runs}

    made = build_map(experiments=["http"])
    loaded = load_map(made.run_id)
    assert np.array_equal(loaded.kl.to_numpy(), made.kl.to_numpy())
    assert sorted(loaded.points["run_id"]) == sorted(run.run_id for run in runs)


def test_a_training_is_monitored_and_read_back_over_http(server, tiny_models, texts):
    mlflow.set_experiment("monitored")
    model = AutoModelForCausalLM.from_pretrained(tiny_models("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_models("llama"))
    for line in ("one", "two"):
        monitor = Monitor(texts, tokenizer=tokenizer, trajectory=line, raise_errors=True)
        with mlflow.start_run(run_name=line), monitor:
            for step in range(3):
                assert monitor.record(model, step) is not None
                with torch.no_grad():
                    model.get_output_embeddings().weight.add_(0.05)
    runs = select_runs(["monitored"])
    assert [run.name for run in runs] == [f"{n} step {k}" for n in ("one", "two") for k in range(3)]
    made = build_map(experiments=["monitored"])
    history = mlflow.MlflowClient().get_metric_history(runs[-1].run_id, "modelmap/kl_previous")
    assert {m.step: m.value for m in history} == pytest.approx(
        {k: made.between(f"two step {k - 1}", f"two step {k}").kl for k in (1, 2)}
    )
    again = Monitor(texts, tokenizer=tokenizer, run_id=runs[0].run_id, raise_errors=True)
    assert again.record(model, 2) is None
    assert again.record(model, 3) is not None
    again.close()


def test_the_page_is_served_beside_it(server):
    with urllib.request.urlopen(f"{server}/modelmap/", timeout=60) as response:
        assert b"Model map" in response.read()


@pytest.mark.heavy
def test_the_page_is_served_beside_all_that_a_server_starts(tmp_path):
    address, process = _start(tmp_path)
    try:
        with urllib.request.urlopen(f"{address}/modelmap/", timeout=120) as response:
            assert response.status == 200
    finally:
        _stop(process)


def test_a_missing_artifact_names_its_run(server, tiny_model, texts):
    done = score(tiny_model, texts, experiment="damaged", progress=False)
    client = mlflow.MlflowClient()
    bad = client.create_run(
        done.experiment_id,
        run_name="bad",
        tags={"modelmap.kind": "score", "modelmap.text_set": texts.digest},
    ).info.run_id
    client.set_terminated(bad)
    with pytest.raises(TrackingError, match=rf"Run {bad} \('bad'\) is damaged.* is missing"):
        read_matrix(select_runs(["damaged"]))


def test_zzz_a_server_that_goes_away_after_scoring_loses_nothing(
    running, server, tiny_model, texts, tmp_path, monkeypatch
):
    from mlflow_modelmap.scoring.engine import score_texts as room

    real = room.score_texts

    def then_the_server_dies(*arguments, **keywords):
        result = real(*arguments, **keywords)
        _stop(running[1])
        return result

    monkeypatch.setattr(room, "score_texts", then_the_server_dies)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(TrackingError, match="vector is kept in"):
        score(tiny_model, texts, experiment="gone", progress=False)
    assert len(list((tmp_path / "spool").glob("*.parquet"))) == 1
    started = time.monotonic()
    with pytest.raises(TrackingError, match="cannot be used"):
        score(tiny_model, texts, experiment="gone", progress=False)
    assert time.monotonic() - started < 10

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}")  # a store that answers
    monkeypatch.setattr(room, "score_texts", None)
    done = score(tiny_model, texts, experiment="gone", progress=False)
    assert mlflow.get_run(done.run_id).info.status == "FINISHED"
    assert list((tmp_path / "spool").iterdir()) == []
