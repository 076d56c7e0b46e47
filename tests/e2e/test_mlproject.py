"""`mlflow run` of the project's own entry points, in this environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def text_file(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    path = tmp_path / "it's short texts.json"
    path.write_text(json.dumps(list(texts.texts)), encoding="utf-8")
    return path


def run_project(entry_point, *, fresh=False, **parameters):
    """`mlflow run . -e ENTRY_POINT`, as a user types it; in fresh processes where that is asked."""
    words = [word for key, value in parameters.items() for word in ("-P", f"{key}={value}")]
    command = f"-m mlflow run -e {entry_point} --env-manager local --experiment-name test"
    command = [*command.split(), *words, str(ROOT)]
    environment = dict(os.environ) if fresh else forking.environment()
    environment.pop("MLFLOW_EXPERIMENT_ID", None)  # `mlflow.set_experiment` sets it
    if not fresh:
        return forking.run(*command, env=environment)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment |= {"PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment
    )


def test_score_and_map(store, tiny_models, texts, text_file):
    for seed in (0, 1):
        done = run_project(
            "score",
            fresh=seed == 0,
            model=tiny_models(seed=seed),
            texts=text_file,
            trajectory="one 'quoted' training",
            step=seed,
            name=f"seed {seed}",
        )
        assert done.returncode == 0, done.stderr
    runs = mlflow.search_runs(["1"], output_format="list", order_by=["start_time"])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert [run.info.run_name for run in runs] == ["seed 0", "seed 1"]
    assert runs[1].data.tags["modelmap.step"] == "1"
    assert runs[0].data.tags["modelmap.trajectory"] == "one 'quoted' training"
    assert runs[0].data.params["precision"] == "auto"
    assert runs[0].data.params["modelmap.precision"] == "float32"
    from_python = score(tiny_models(seed=1), texts, experiment="python", progress=False)
    matrix, _ = read_matrix(select_runs(["test"]))
    assert np.allclose(matrix.values[1], from_python.log_likelihoods, atol=1e-3)

    done = run_project("map", experiments="test")
    assert done.returncode == 0, done.stderr
    (made,) = mlflow.search_runs(["1"], "tags.`modelmap.kind` = 'map'", output_format="list")
    assert made.info.status == "FINISHED"
    assert len(mlflow.search_runs(["1"], output_format="list")) == 3


def test_a_failed_score_is_a_failed_run_and_exit_code(store, tiny_model, tmp_path):
    done = run_project("score", model=tiny_model, texts=tmp_path / "none.json")
    assert done.returncode != 0
    assert "There is no text file" in done.stderr
    (run,) = mlflow.search_runs(["1"], output_format="list")
    assert run.info.status == "FAILED"
    assert "There is no text file" in run.data.tags["modelmap.error"]


@pytest.mark.heavy
def test_sweep(store, tiny_models, text_file):
    plan = text_file.parent / "plan.yaml"
    plan.write_text(
        f'texts: "{text_file.name}"\n'
        f"models:\n  - {tiny_models()}\n"
        f"  - {{model: {tiny_models(seed=1)}, precisions: [float32, bfloat16]}}\n"
    )
    done = run_project("sweep", plan=plan)
    assert done.returncode == 0, done.stderr
    runs = mlflow.search_runs(["1"], output_format="list")
    kinds = sorted(run.data.tags["modelmap.kind"] for run in runs)
    assert kinds == ["score", "score", "score", "sweep"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    again = run_project("sweep", plan=plan)
    assert "3 scored before" in again.stdout
    runs = mlflow.search_runs(["1"], output_format="list")
    assert sorted(run.data.tags["modelmap.kind"] for run in runs) == [*kinds, "sweep"]


def test_a_gate_s_verdict_is_the_run_s_status(store, tiny_models, tmp_path, texts, text_file):
    models = {"candidate": tiny_models(seed=0), "reference": tiny_models(seed=1)}
    verdicts = []
    for limit in ("100000", "0.0001"):
        done = run_project("gate", **models, texts=text_file, max_kl=limit)
        runs = mlflow.search_runs(
            ["1"], "tags.`modelmap.kind` = 'gate'", output_format="list", order_by=["start_time"]
        )
        verdicts.append(
            (done.returncode, runs[-1].info.status, runs[-1].data.tags["modelmap.gate"])
        )
    assert verdicts == [(0, "FINISHED", "pass"), (1, "FAILED", "fail")]
    assert "Verdict: fail" in runs[-1].data.tags["mlflow.note.content"]


@pytest.mark.heavy
def test_a_project_leaves_its_store_where_the_command_is_typed(tiny_models, tmp_path, monkeypatch):
    """As README has it: in a folder of one's own, without an address of a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = {name: (ROOT / name).exists() for name in ("mlflow.db", "mlruns")}
    here = f"-m mlflow run {ROOT} --env-manager local".split()
    for words in (
        *(
            f"score -P model={tiny_models(seed=k)} -P texts=python-docs -P overlong=truncate"
            for k in (0, 1)
        ),
        "map -P experiment=Default",
    ):
        done = forking.run(*here, "-e", *words.split(), env=forking.environment())
        assert done.returncode == 0, done.stderr
    assert {name: (ROOT / name).exists() for name in before} == before
    runs = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(["0"])
    assert [run.data.tags["modelmap.kind"] for run in runs] == ["map", "score", "score"]
    assert all(run.info.artifact_uri.startswith(str(tmp_path)) for run in runs)
