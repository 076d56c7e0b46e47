"""The example of TRL's trainers, run as people run it: KL from the base on prompts in training."""

from __future__ import annotations

import os
import re
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from mlflow_modelmap import score
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.words.value_and_error import with_error
from tests import forking
from tests.scoring.tokenizer.chat_templates import CHATML, chat_model

pytestmark = pytest.mark.slow
pytest.importorskip("trl", reason="TRL 1.16 needs Python 3.11")
EXAMPLE = Path(__file__).parents[2] / "examples" / "monitor_trl.py"
TEXTS = "python-qa:40"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return chat_model(tmp_path_factory.mktemp("base"), CHATML)


@pytest.mark.parametrize(
    "asked",
    [["sft", "--lora"], pytest.param(["dpo"], marks=pytest.mark.heavy)],
    ids=" ".join,
)
def test_the_policy_is_watched_on_prompts(asked, store, base, all_runs, tmp_path):
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }
    arguments = ["--model", base, "--texts", TEXTS, "--train", "python-qa:60", "--steps", 2]
    done = forking.run(
        *(EXAMPLE, "--method", *asked, *arguments, "--save-every", 1),
        cwd=tmp_path,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "The model map's monitor has stopped" not in done.stderr
    (training,) = [r for r in all_runs() if r.data.tags["modelmap.kind"] == "monitor"]
    assert training.info.status == "FINISHED"
    assert training.data.params["modelmap.template_applied"] == "tokenizer"
    assert training.data.tags.get("modelmap.adapter") == ("lora" if "--lora" in asked else None)
    assert "train_loss" in training.data.metrics  # TRL's own
    path = f"runs:/{training.info.run_id}/modelmap/checkpoints.csv"
    index = pd.read_csv(mlflow.artifacts.download_artifacts(path)).set_index("step")
    assert list(index.index) == [0, 1, 2]
    assert index["kl_reference"].is_monotonic_increasing
    assert (index.at[0, "kl_reference"], index.at[0, "kl_reference_se"]) == (0, 0)
    for step, row in index.iterrows():
        kl = re.escape(with_error(row["kl_reference"], row["kl_reference_se"]))
        assert re.search(rf"^ +{step} .* {kl}$", done.stdout, re.M)
    # What was saved is the policy, and not DPO's reference.
    points = [point for point in select_runs(["test"]) if point.step is not None]
    assert [point.step for point in points] == [0, 1, 2]
    values = read_matrix(points)[0].values
    saved = score(tmp_path / "fine-tuned" / "checkpoint-2", TEXTS, progress=False)
    assert saved.log_likelihoods == pytest.approx(values[-1], abs=1e-4)
    assert abs(values[-1] - values[0]).max() > 1e-3
