"""The gate's examples: the very commands that people copy, on tiny models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import yaml

from tests import forking
from tests.logged import log_model

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def registry(store, tiny_models):
    """Two versions of a registered model: the champion, and another one as the candidate."""
    client = mlflow.MlflowClient(store)
    for seed, alias in ((0, "champion"), (1, "candidate")):
        with mlflow.start_run():
            log_model(tiny_models(seed=seed), registered_model_name="my-model")
        client.set_registered_model_alias("my-model", alias, str(seed + 1))
    return client


@pytest.fixture
def environment(store, texts, tmp_path):
    """As the job's: the workflow's own values, and files for what GitHub collects."""
    path = tmp_path / "held_out.jsonl"
    more = [f"{text} again, {k}" for k, text in enumerate(texts.texts)]
    rows = (json.dumps({"text": text}) for text in [*texts.texts, *more])
    path.write_text("\n".join(rows), encoding="utf-8")
    return {
        **os.environ,
        "PATH": forking.environment()["PATH"],
        "MLFLOW_TRACKING_URI": store,
        "TEXTS": str(path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }


def run(script, environment, folder):
    return subprocess.run(
        ["bash", "-e", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )


def silent(folder):
    """A folder with a `modelmap` that decides nothing, and says so by no exit code."""
    folder = folder / "silent"
    folder.mkdir(exist_ok=True)
    (folder / "modelmap").write_text("#!/bin/sh\necho Usage: modelmap gate\n", encoding="utf-8")
    (folder / "modelmap").chmod(0o755)
    return folder


@pytest.mark.heavy
def test_the_workflow_promotes_what_passes_and_nothing_else(registry, environment, tmp_path):
    workflow = yaml.safe_load((EXAMPLES / "github_actions_gate.yml").read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in workflow["jobs"]["gate"]["steps"] if "name" in step}
    gate, promote = steps["Gate"]["run"], steps["Promote"]["run"]
    environment = {
        **environment,
        "CANDIDATE": workflow[True]["workflow_dispatch"]["inputs"]["candidate"]["default"],
        "REFERENCE": workflow["env"]["REFERENCE"],
        "MAX_KL": "0.01",
        "MAX_INCREASE": "100",
    }
    failed = run(gate, environment, tmp_path)
    assert failed.returncode == 1, failed.stderr
    assert "Verdict: fail" in (tmp_path / "summary.md").read_text()
    assert registry.get_model_version("my-model", "2").tags["modelmap.gate"] == "fail"

    passed = run(gate, {**environment, "MAX_KL": "1000"}, tmp_path)
    assert passed.returncode == 0, passed.stderr
    assert "Verdict: pass" in (tmp_path / "summary.md").read_text()
    run_id = (tmp_path / "output").read_text().splitlines()[-1].partition("=")[2]
    assert registry.get_run(run_id).data.tags["modelmap.gate"] == "pass"
    assert registry.get_model_version("my-model", "2").tags["modelmap.gate_run"] == run_id
    promoted = run(promote, environment, tmp_path)
    assert promoted.returncode == 0, promoted.stderr
    champion = registry.get_model_version_by_alias("my-model", "champion")
    assert str(champion.version) == "2"
    for nothing in ("--help", "models:/my-model@candidate"):
        # Whatever a run says of itself is not what was asked for.
        told = json.loads((tmp_path / "gate.json").read_text())
        assert told["candidate"]["resolved"] == "models:/my-model/2"
        quiet = {
            **environment,
            "CANDIDATE": nothing,
            "PATH": f"{silent(tmp_path)}:{environment['PATH']}",
        }
        assert run(gate, quiet, tmp_path).returncode == 3
        assert run(promote, environment, tmp_path).returncode != 0
        (tmp_path / "gate.json").write_text(json.dumps(told))
    told["candidate"] |= {"name": "my-model/1", "model": "models:/my-model/1"}
    (tmp_path / "gate.json").write_text(json.dumps(told))
    assert run(promote, environment, tmp_path).returncode == 0
    champion = registry.get_model_version_by_alias("my-model", "champion")
    assert str(champion.version) == "2"
    asked = run(gate, {**environment, "CANDIDATE": "--help"}, tmp_path)
    assert asked.returncode == 3
    assert "'--help'" in asked.stderr

    wrong = run(gate, {**environment, "TEXTS": "nowhere.jsonl"}, tmp_path)
    assert wrong.returncode == 3
    assert "nowhere.jsonl" in wrong.stderr


@pytest.mark.heavy
def test_the_shell_script_says_what_the_exit_code_means(environment, tiny_models, tmp_path):
    script = EXAMPLES / "gate.sh"
    asked = f"{script} '{tiny_models(seed=0)}' '{tiny_models(seed=1)}' \"$TEXTS\""
    installed = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = {
        limit: run(asked, {**environment, "MAX_KL": limit, **path}, tmp_path)
        for limit, path in (("1000", {}), ("0.0001", {}), ("-1", {"PATH": installed}))
    }
    assert [one.returncode for one in done.values()] == [0, 1, 3]
    assert f"Release it: {tiny_models(seed=0)}" in done["1000"].stdout
    assert "Verdict: pass." in done["1000"].stdout
    assert "drifted too far" in done["0.0001"].stderr
    assert "could not be asked" in done["-1"].stderr


@pytest.mark.parametrize("candidate", ["--help", "--json"])
def test_a_candidate_that_reads_like_an_option_is_never_released(environment, tmp_path, candidate):
    asked = run(f"{EXAMPLES / 'gate.sh'} '{candidate}' '--help' \"$TEXTS\"", environment, tmp_path)
    assert asked.returncode == 3
    assert "Release it" not in asked.stdout
    assert "could not be asked" in asked.stderr


@pytest.mark.parametrize("code", [0, 1, 2, 3, 127])
def test_an_exit_code_without_a_verdict_is_an_error(environment, tmp_path, code):
    folder = silent(tmp_path)
    with open(folder / "modelmap", "a", encoding="utf-8") as file:
        file.write(f"exit {code}\n")
    path = f"{folder}:{environment['PATH']}"
    asked = run(f"{EXAMPLES / 'gate.sh'} a b c", {**environment, "PATH": path}, tmp_path)
    assert asked.returncode == 3
    assert "Release it" not in asked.stdout
