"""Ctrl-C while a model is fetched ends the command, not the fetching first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mlflow_modelmap.texts.write import write_texts
from tests.hub_server import HubServer


@pytest.mark.parametrize("command", ["score", "sweep"])
def test_a_fetch_does_not_hold_ctrl_c_up(command, store, texts, tiny_model, tmp_path):
    write_texts(texts, tmp_path / "texts.jsonl")
    (tmp_path / "plan.yaml").write_text("models: [org/model, org/other]\n")
    what = ["org/model"] if command == "score" else [str(tmp_path / "plan.yaml")]
    what += ["--texts", str(tmp_path / "texts.jsonl")]
    with HubServer() as hub:
        hub.add("org/model", tiny_model)
        hub.add("org/other", tiny_model)
        hub.stalls = True
        patient = {"HF_HUB_DOWNLOAD_TIMEOUT": "3600", "MLFLOW_TRACKING_URI": store}
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow_modelmap", command, *what],
            env={**os.environ, **hub.environment(tmp_path / "cache"), **patient},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while not any(asked.startswith("GET /cdn/") for asked in hub.requests):
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.rstrip().endswith("Stopped.")
