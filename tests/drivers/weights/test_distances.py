"""Weight distances as a run: from directories, a template, a plan and score runs."""

from __future__ import annotations

import json
import signal

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from mlflow_modelmap.drivers.weights.distances import load_weight_distances, weight_distances
from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.scoring.weights import squared_distances
from mlflow_modelmap.tracking import schema
from tests import forking


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    """Directories stepN with drifting weights, by step."""
    root = tmp_path_factory.mktemp("training")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 8, generator=generator)
    found = {}
    for step in (0, 10, 20, 40):
        found[step] = root / f"step{step}"
        found[step].mkdir()
        save_file(
            {"w": weight, "attention.masked_bias": torch.ones(1)}, found[step] / "model.safetensors"
        )
        weight = weight + 0.1 * torch.randn(50, 8, generator=generator)
    return found


def plainly(a, b):
    one, two = (load_file(folder / "model.safetensors")["w"].double() for folder in (a, b))
    return ((one - two) ** 2).sum().item()


def score_run(store, model, step, trajectory="line", **tags):
    """A run as others may write it: only what a weight distance needs."""
    client = MlflowClient(store)
    run = client.create_run(client.get_experiment_by_name("test").experiment_id)
    named = {
        schema.TAG_KIND: "score",
        schema.TAG_MODEL: str(model),
        schema.TAG_STEP: step,
        schema.TAG_TRAJECTORY: trajectory,
        schema.TAG_TEXT_SET: "0" * 64,
        **tags,
    }
    for name, value in named.items():
        if value is not None:
            client.set_tag(run.info.run_id, name, value)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


@pytest.mark.drawn
def test_directories_become_a_run_with_table_and_curve(store, training):
    made = weight_distances(checkpoints=training, window=20, trajectory="mine", progress=False)
    run = MlflowClient(store).get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[schema.TAG_KIND] == "weights"
    assert run.data.tags[schema.TAG_TRAJECTORY] == "mine"
    curve = MlflowClient(store).get_metric_history(made.run_id, "modelmap/weight_distance_previous")
    expected = [plainly(training[a], training[b]) for a, b in ((0, 10), (10, 20), (20, 40))]
    assert [point.step for point in curve] == [10, 20, 40]
    assert [point.value for point in curve] == pytest.approx(expected, rel=1e-12)
    pairs = list(zip(made.table["step_from"], made.table["step"], strict=True))
    assert pairs == [(0, 10), (0, 20), (10, 20), (20, 40)]
    loaded = load_weight_distances(made.run_id)
    assert loaded.table.equals(made.table)
    square = loaded.matrix("mine")
    assert square.loc[20, 0] == pytest.approx(plainly(training[0], training[20]), rel=1e-12)
    assert np.isnan(square.loc[0, 40])
    names = {file.path for file in MlflowClient(store).list_artifacts(made.run_id, "modelmap")}
    assert {
        "modelmap/weight_distances.parquet",
        "modelmap/weight_distances.csv",
        "modelmap/weight_distance_previous.png",
    } <= names
    left_out = mlflow.artifacts.load_text(f"runs:/{made.run_id}/modelmap/weight_parameters.csv")
    assert "mine,attention.masked_bias,,buffer" in left_out


def test_a_template_a_plan_and_score_runs_find_the_same(store, training, tmp_path):
    root = training[0].parent
    steps = list(training)
    template = weight_distances(
        model=f"{root}/step{{step}}", steps=steps, full=True, progress=False
    )
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"texts: none\nmodels:\n- model: {root}/step{{step}}\n  steps: {steps}\n"
        "  trajectory: line\n"
    )
    planned = weight_distances(plan=plan, full=True, progress=False)
    for step, folder in training.items():
        score_run(store, folder, step)
    score_run(store, training[0], None)
    score_run(store, training[0], 0, trajectory="line nf4", **{schema.TAG_PRECISION: "nf4"})
    scored = weight_distances(experiments=["test"], full=True, progress=False)
    assert len(template.table) == 6
    for other in (planned, scored):
        assert other.table["squared_distance"].equals(template.table["squared_distance"])
        assert set(other.table["trajectory"]) == {"line"}
    assert scored.notices == (
        "Left out 1 run without a step or trajectory.",
        "Left out 1 quantised run: the weights are those of the model, or what quantising made of "
        "them.",
    )
    gone = {
        "/gone/model": "gptq-int4",
        "org/name/x-Q4.gguf": "Q4_K_M",
        "https://served/v1": "unknown",
    }
    for step, (model, precision) in enumerate(gone.items()):
        tags = {schema.TAG_PRECISION: precision, schema.TAG_MODEL: model}
        score_run(store, training[0], step, trajectory="gone", **tags)
    others = weight_distances(experiments=["test"], full=True, progress=False)
    assert others.table.equals(scored.table)
    assert others.notices[1].startswith("Left out 4 quantised runs")
    for run in MlflowClient(store).search_runs(["1"], "tags.`modelmap.trajectory` = 'gone'"):
        MlflowClient(store).delete_run(run.info.run_id)
    said = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    config = {"model_type": "llama", "quantization_config": said}
    (training[0] / "config.json").write_text(json.dumps(config))  # stored so: weights of its own
    stored = weight_distances(experiments=["test"], full=True, progress=False)
    assert stored.notices == (
        *scored.notices[:1],
        "The trajectory 'line nf4' has 1 checkpoint with weights, and was left out.",
    )
    score_run(store, training[0], 5, **{schema.TAG_PRECISION: "nf4"})  # of a line of plain ones
    mixed = weight_distances(experiments=["test"], full=True, progress=False)
    assert mixed.table["squared_distance"].equals(template.table["squared_distance"])
    assert "Left out 1 quantised run" in mixed.notices[1]


def test_several_trainings_in_one_run_and_a_broken_one_stops_none(store, training, tmp_path):
    for name in ("a", "b"):
        for step in (0, 10):
            score_run(store, training[step], step, trajectory=name)
    other = tmp_path / "other"
    other.mkdir()
    save_file({"w": torch.ones(3)}, other / "model.safetensors")
    score_run(store, training[0], 0, trajectory="broken")
    score_run(store, other, 10, trajectory="broken")
    made = weight_distances(experiments=["test"], progress=False)
    assert made.table["trajectory"].tolist() == ["a", "b"]
    assert len(made.notices) == 1
    assert "'broken' was left out: The parameter 'w' has the shape" in made.notices[0]
    metrics = MlflowClient(store).get_run(made.run_id).data.metrics
    assert {f"modelmap/weight_distance_previous/{name}" for name in "ab"} <= set(metrics)


def test_equal_checkpoints_are_said_and_give_zero(store, training):
    made = weight_distances(
        checkpoints={0: training[0], 1: training[0], 2: training[0]}, progress=False
    )
    assert made.table["squared_distance"].tolist() == [0.0, 0.0]
    assert "All 3 checkpoints of 'checkpoints' hold the same weights" in made.notices[0]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "Say once where the checkpoints are"),
        ({"model": "a/b", "plan": "p"}, "Say once"),
        ({"model": "a/b"}, "No steps of 'a/b'"),
        ({"model": "a/b", "steps": [1, 2], "revisions": "main"}, "same for every step"),
        ({"checkpoints": {1: "/nowhere"}}, "no directory"),
        ({"model": "a/b", "steps": [1], "window": 5, "full": True}, "choose one"),
        ({"model": "a/b", "steps": [1], "window": 0}, "must be 1 or more"),
        ({"experiments": ["nowhere"]}, "no experiment 'nowhere'"),
    ],
)
def test_bad_requests_are_one_sentence(store, asked, message):
    with pytest.raises(InputError, match=message):
        weight_distances(**asked, progress=False)


def test_one_checkpoint_and_a_step_twice_are_refused(store, training):
    with pytest.raises(InputError, match="has 1 checkpoint"):
        weight_distances(checkpoints={0: training[0]}, progress=False)
    score_run(store, training[0], 5)
    score_run(store, training[10], 5)
    with pytest.raises(InputError, match=r"the step 5 twice.*leave one out"):
        weight_distances(experiments=["test"], progress=False)


def test_runs_without_steps_are_refused(store, training):
    score_run(store, training[0], None)
    with pytest.raises(InputError, match="has a step and a trajectory"):
        weight_distances(experiments=["test"], progress=False)


def test_loading_another_kind_is_refused(store, training):
    with pytest.raises(ModelMapError, match="of kind 'score', not 'weights'"):
        load_weight_distances(score_run(store, training[0], 1))


KILLED_AT_THE_END = """
import os, signal, sys
from mlflow_modelmap import weight_distances
from mlflow_modelmap.tracking.runs import end_run
end_run._terminate = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
weight_distances(checkpoints={0: sys.argv[1], 1: sys.argv[2]}, progress=False)
"""


def test_sums_wait_until_their_run_is_finished(store, tmp_path, monkeypatch, training):
    folders = [str(training[step]) for step in (0, 10)]
    done = forking.run("-c", KILLED_AT_THE_END, *folders)
    assert done.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "spool").glob("weights-*.npz"))) == 1
    monkeypatch.setattr(squared_distances, "_in_order", lambda *a: iter(()))  # nothing is left
    found = weight_distances(checkpoints=dict(enumerate(folders)), progress=False)
    expected = plainly(training[0], training[10])
    assert found.table["squared_distance"].iloc[0] == pytest.approx(expected, rel=1e-12)
    assert list((tmp_path / "spool").iterdir()) == []


def test_gguf_files_have_no_plain_weights(store, tmp_path):
    models = []
    for step in (1, 2):
        path = tmp_path / f"step-{step}.gguf"
        path.write_bytes(b"GGUF")
        models.append({"model": str(path), "trajectory": "tiny", "step": step})
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"models": models}))
    with pytest.raises(InputError, match="is a GGUF file, and weight distances are between plain"):
        weight_distances(plan=plan, progress=False)
