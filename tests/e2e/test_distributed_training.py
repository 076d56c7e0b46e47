"""Trainings in two processes (gloo): one run, no step twice, and training does not notice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version

from mlflow_modelmap import score
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking
from tests.training import monitoring_texts, start_model

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_model(tmp_path_factory.mktemp("start"))


def torchrun(module: str, *arguments: str | Path) -> str:
    """Run a module in two processes; what they printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def two_processes(module: str, *arguments: str | Path) -> str:
    """Run a module in two processes with what torchrun would tell them; what they printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": str(port)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    processes = [
        forking.Process("-m", module, *arguments, cwd=ROOT, env={**shared, **rank})
        for rank in ({"RANK": number, "LOCAL_RANK": number} for number in "01")
    ]
    said = [process.communicate(timeout=400) for process in processes]
    printed = "".join(out + err for out, err in said)
    assert [process.returncode for process in processes] == [0, 0], printed
    return printed


def losses(folder: Path) -> list[list[float]]:
    return [json.loads((folder / f"losses-{rank}.json").read_text()) for rank in (0, 1)]


def test_only_the_main_process_records_and_losses_are_bit_identical(
    store, start, tmp_path, all_runs, monkeypatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    folders = [tmp_path / kind for kind in ("plain", "ddp")]
    for folder in folders:
        folder.mkdir()
    torchrun("tests.e2e.distributed_training", start, *folders)
    assert losses(tmp_path / "ddp") == losses(tmp_path / "plain")
    assert len(losses(tmp_path / "ddp")[0]) == 8
    (run,) = all_runs()
    assert run.info.status == "FINISHED"
    runs = select_runs(run_ids=[run.info.run_id])
    assert [point.step for point in runs] == [0, 4, 8]
    again = score(tmp_path / "ddp" / "out" / "checkpoint-8", monitoring_texts(), progress=False)
    matrix, _ = read_matrix(runs)
    assert again.log_likelihoods == pytest.approx(matrix.values[-1], abs=1e-4)


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.7"), reason="its fully_shard wants a GPU's streams"
)
def test_a_sharded_model_is_scored_from_what_was_saved(
    store, start, tmp_path, all_runs, monkeypatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    printed = two_processes("tests.e2e.sharded_training", start, tmp_path)
    refused = (tmp_path / "refused.txt").read_text()
    assert "spread over several processes" in refused
    assert printed.count("spread over several processes") == 1
    (run,) = [run for run in all_runs() if run.info.run_name == "sharded"]
    runs = select_runs(run_ids=[run.info.run_id])
    assert [point.step for point in runs] == [3, 6]
    assert [point.model for point in runs] == [
        str(tmp_path / "out" / f"checkpoint-{step}") for step in (3, 6)
    ]
    matrix, _ = read_matrix(runs)
    assert not np.array_equal(*matrix.values)
