"""The Trainer callback on real trainings: what is recorded, and that training does not notice."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import HPSearchBackend

from mlflow_modelmap import ModelMapCallback, TextSet, build_map, score, trajectory
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.callbacks.trainer import saved_in
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.training import losses, model_of, monitoring_texts, start_model, tokenizer_of, trainer

pytestmark = pytest.mark.slow
STEPS = 12


class StopAt(TrainerCallback):
    """Stops a training before its end."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = (
            control.should_training_stop or state.global_step >= self.step
        )
        return control


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_model(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def plain(start: Path, tmp_path_factory: pytest.TempPathFactory):
    """The same training without the callback."""
    trained = trainer(start, tmp_path_factory.mktemp("plain"), [], save_strategy="no")
    trained.train()
    return trained


@pytest.fixture
def texts() -> TextSet:
    return monitoring_texts()


def index_of(run_id: str) -> pd.DataFrame:
    return pd.read_csv(
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/modelmap/checkpoints.csv"),
        float_precision="round_trip",
    )


def history(run_id: str, name: str) -> list[tuple[int, float]]:
    found = mlflow.MlflowClient().get_metric_history(run_id, f"modelmap/{name}")
    return [(metric.step, metric.value) for metric in found]


def test_training_is_the_same_to_the_bit_and_joins_the_active_run(
    store, start, plain, texts, tmp_path, all_runs
):
    with mlflow.start_run(run_name="my training") as active:
        mlflow.log_param("mine", 1)
        watched = trainer(start, tmp_path / "out", [ModelMapCallback(texts, every=2)])
        watched.train()
        assert mlflow.get_run(active.info.run_id).info.status == "RUNNING"
    assert losses(watched) == losses(plain)
    assert len(losses(plain)) == STEPS
    for ours, theirs in zip(watched.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    (run,) = all_runs()
    assert run.info.run_id == active.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["modelmap.kind"] == "monitor"
    assert run.data.tags["modelmap.trajectory"] == "my training"
    assert run.data.tags["modelmap.base_model"] == str(start)
    assert run.data.tags["modelmap.checkpoints"] == "7"
    assert run.data.params["mine"] == "1"
    assert run.data.params["modelmap.precision"] == "float32"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == texts.digest[:32]
    index = index_of(run.info.run_id)
    assert index["step"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    saved = index.set_index("step")["model"].dropna()
    assert saved.to_dict() == {
        step: str(tmp_path / "out" / f"checkpoint-{step}") for step in (4, 8, 12)
    }
    assert {name for name in run.data.metrics if name.startswith("modelmap/")} <= {
        f"modelmap/{name}"
        for name in ("bits_per_byte", "kl_previous", "kl_reference", "diffusion_exponent")
    }
    for name in ("bits_per_byte", "kl_previous", "kl_reference"):
        logged = dict(history(run.info.run_id, name))
        assert logged == index.set_index("step")[name].dropna().to_dict()
        assert len(history(run.info.run_id, name)) == len(logged)
    assert index["kl_previous_se"].notna().sum() == 6
    assert index["bits_per_byte"].is_monotonic_decreasing
    cost = run.data.tags["modelmap.monitor_cost"]
    assert re.fullmatch(r"Monitoring took \S+ s, \S+ % of the training\.", cost)


def test_its_vectors_are_those_of_scoring_what_was_saved_and_studies_take_them_up(
    store, start, texts, tmp_path
):
    with mlflow.start_run(run_name="line") as active:
        trainer(start, tmp_path / "out", [ModelMapCallback(texts)]).train()
    runs = select_runs(["test"])
    assert [run.step for run in runs] == [0, 4, 8, 12]
    matrix, _ = read_matrix(runs)
    own = score(start, texts, progress=False)
    assert np.array_equal(own.log_likelihoods, matrix.values[0])
    for row, step in ((1, 4), (3, 12)):
        again = score(tmp_path / "out" / f"checkpoint-{step}", texts, progress=False)
        assert again.log_likelihoods == pytest.approx(matrix.values[row], abs=1e-4)

    study = trajectory(run_ids=[active.info.run_id], figures=False, drop_texts=None, clip=None)
    made = build_map(run_ids=[active.info.run_id])
    index = index_of(active.info.run_id).set_index("step")
    for step_from, step in ((0, 4), (4, 8), (8, 12)):
        kl, se = made.between(f"line step {step_from}", f"line step {step}")
        assert (kl, se) == pytest.approx(tuple(index.loc[step, ["kl_previous", "kl_previous_se"]]))
    previous = study.kl_previous.set_index("step")["kl"]
    assert previous.to_dict() == pytest.approx(index["kl_previous"].dropna().to_dict())
    kl, se = made.between("line step 0", "line step 12")
    assert (kl, se) == pytest.approx(tuple(index.loc[12, ["kl_reference", "kl_reference_se"]]))


def test_without_an_active_run_it_makes_one_and_ends_it(store, start, texts, tmp_path, all_runs):
    callback = ModelMapCallback(texts, name="alone", trajectory="line")
    trainer(start, tmp_path / "out", [callback], steps=4).train()
    (run,) = all_runs()
    assert (run.info.run_name, run.info.status) == ("alone", "FINISHED")
    assert run.data.tags["modelmap.trajectory"] == "line"
    assert mlflow.active_run() is None
    assert index_of(run.info.run_id)["step"].tolist() == [0, 4]


def test_it_records_in_the_run_of_the_trainers_own_mlflow_callback(
    store, start, texts, tmp_path, all_runs, monkeypatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    callback = ModelMapCallback(texts, every=4, curves="all")
    trainer(start, tmp_path / "out", [callback], steps=8, report_to="mlflow").train()
    (run,) = all_runs()
    assert run.info.status == "FINISHED"
    assert "learning_rate" in run.data.params  # the Trainer's own
    index = index_of(run.info.run_id)
    assert index["step"].tolist() == [0, 4, 8]
    errors = dict(history(run.info.run_id, "kl_previous_se"))
    assert errors == index.set_index("step")["kl_previous_se"].dropna().to_dict()
    cost = run.data.metrics
    assert 0 < cost["modelmap/monitor_total_share"] < 1
    # What a record says of itself ends before it is logged.
    assert cost["modelmap/monitor_total_seconds"] >= index["monitor_seconds"].sum()


def test_a_resumed_training_goes_on_in_its_run_and_repeats_no_step(
    store, start, plain, texts, tmp_path, all_runs
):
    out = tmp_path / "out"
    with mlflow.start_run(run_name="line") as active:
        stopped = trainer(start, out, [ModelMapCallback(texts, every=2)], steps=STEPS)
        stopped.add_callback(StopAt(6))
        stopped.train()
    assert index_of(active.info.run_id)["step"].tolist() == [0, 2, 4, 6]
    with mlflow.start_run(run_id=active.info.run_id):
        resumed = trainer(start, out, [ModelMapCallback(texts, every=2)], steps=STEPS)
        resumed.train(resume_from_checkpoint=str(out / "checkpoint-4"))
    (run,) = all_runs()
    index = index_of(run.info.run_id)
    assert index["step"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert [step for step, _ in history(run.info.run_id, "bits_per_byte")] == [*range(0, 13, 2)]
    assert losses(resumed)[-6:] == losses(plain)[-6:]
    matrix, _ = read_matrix(select_runs(run_ids=[run.info.run_id]))
    assert len(matrix.points) == 7
    assert index["kl_reference"].iloc[-1] == pytest.approx(
        build_map(run_ids=[run.info.run_id]).between("line step 0", "line step 12").kl
    )


def test_a_reference_is_scored_once_and_compared_with(store, start, texts, tmp_path, all_runs):
    with mlflow.start_run() as active:
        callback = ModelMapCallback(texts, reference=str(start))
        trainer(start, tmp_path / "out", [callback], steps=8).train()
    scored = [run for run in all_runs() if run.data.tags["modelmap.kind"] == "score"]
    assert len(scored) == 1
    assert "mlflow.parentRunId" not in scored[0].data.tags
    training = mlflow.get_run(active.info.run_id)
    assert training.data.tags["modelmap.reference_run"] == scored[0].info.run_id
    index = index_of(active.info.run_id)
    assert index["kl_reference"].iloc[0] == 0
    made = build_map(run_ids=[active.info.run_id, scored[0].info.run_id])
    last = f"{training.info.run_name} step 8"
    expected = made.between(scored[0].info.run_name, last)
    assert tuple(index.iloc[-1][["kl_reference", "kl_reference_se"]]) == pytest.approx(expected)


@pytest.mark.parametrize("mixed", ["bf16"])
def test_mixed_precision_is_left_alone_and_scored_in_the_weights_own(
    store, start, texts, tmp_path, mixed, monkeypatch
):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # where transformers 4 leaves its own
    alone = trainer(start, tmp_path / "alone", [], save_strategy="no", **{mixed: True})
    alone.train()
    with mlflow.start_run() as active:
        watched = trainer(
            start, tmp_path / "out", [ModelMapCallback(texts, every=4, exact=True)], **{mixed: True}
        )
        watched.train()
    assert losses(watched) == losses(alone)
    first, *later = (value for _, value in history(active.info.run_id, "exact_forward"))
    assert first == 0
    assert len(later) == 3
    assert min(later) > 0
    matrix, _ = read_matrix(select_runs(run_ids=[active.info.run_id]))
    again = score(tmp_path / "out" / "checkpoint-12", texts, progress=False)
    assert again.log_likelihoods == pytest.approx(matrix.values[-1], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start_run": False}, "No MLflow run is active and none is to be made"),
        ({"reference": "f" * 32}, "There is no run 'ffff"),
        ({"reference": "nobody knows me"}, "neither a run, a model, nor the name"),
        ({"run_id": "e" * 32}, "There is no run 'eeee"),
        ({"bos": "sometimes"}, None),
    ],
)
def test_what_cannot_be_done_is_said_once_and_training_goes_on(
    store, start, plain, texts, tmp_path, caplog, options, said
):
    if said is None:  # before any training has begun there is no reason to go on
        with pytest.raises(InputError, match="Unknown bos 'sometimes'"):
            ModelMapCallback(texts, **options)
        return
    with caplog.at_level(logging.WARNING, "mlflow_modelmap"):
        watched = trainer(start, tmp_path / "out", [ModelMapCallback(texts, **options)])
        watched.train()
    assert losses(watched) == losses(plain)
    ours = [r.message for r in caplog.records if r.name == "mlflow_modelmap"]
    assert len(ours) == 1
    assert said in ours[0]
    assert "training goes on" in ours[0]
    strict = ModelMapCallback(texts, raise_errors=True, **options)
    with pytest.raises(InputError, match=said[:20]):
        trainer(start, tmp_path / "out", [strict]).train()


def test_a_missing_tokenizer_is_said(store, start, texts, tmp_path, caplog):
    watched = trainer(start, tmp_path / "out", [ModelMapCallback(texts)], steps=2)
    watched.processing_class = None
    watched.callback_handler.processing_class = None
    watched.train()
    assert "No tokenizer was given" in caplog.text
    assert len(losses(watched)) == 2


def test_a_reference_on_other_texts_names_both(store, start, texts, tmp_path, caplog):
    other = TextSet("other texts", texts.texts[:10])
    done = score(start, other, progress=False)
    callback = ModelMapCallback(texts, reference=done.run_id)
    with mlflow.start_run() as active:
        trainer(start, tmp_path / "out", [callback], steps=2).train()
    for word in ("other texts", other.digest[:12], "monitoring texts", texts.digest[:12]):
        assert word in caplog.text
    tags = mlflow.get_run(active.info.run_id).data.tags
    assert "other texts" in tags["modelmap.monitor_stopped"]


def test_too_few_texts_are_refused_or_warned_of(store, start, texts, tmp_path, caplog):
    with pytest.raises(InputError, match="holds one text"):
        ModelMapCallback(TextSet("one", texts.texts[:1]))
    few = TextSet("few", texts.texts[:5])
    trainer(start, tmp_path / "out", [ModelMapCallback(few)], steps=2).train()
    assert "5 texts are few" in caplog.text
    with pytest.raises(InputError, match="every is 0"):
        ModelMapCallback(texts, every=0)


def test_a_store_that_fails_in_between_stops_the_monitor_only(
    store, start, plain, texts, tmp_path, caplog
):
    """After the second checkpoint the artifacts' folder is a file."""
    artifacts, aside = tmp_path / "artifacts", tmp_path / "aside"

    class Break(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 5:
                artifacts.rename(aside)
                artifacts.write_text("in the way")

    with mlflow.start_run() as active:
        watched = trainer(start, tmp_path / "out", [ModelMapCallback(texts), Break()])
        watched.train()
    artifacts.unlink()
    aside.rename(artifacts)
    assert losses(watched) == losses(plain)
    ours = [r.message for r in caplog.records if r.name == "mlflow_modelmap"]
    assert [text for text in ours if "monitor has stopped" in text] == ours[-1:]
    assert all("A record takes" in text for text in ours[:-1])
    assert [run.step for run in select_runs(run_ids=[active.info.run_id])] == [0, 4]
    tags = mlflow.get_run(active.info.run_id).data.tags
    assert tags["modelmap.monitor_stopped"]


def test_a_model_that_diverges_is_an_anomaly_and_no_point(store, start, texts, caplog):
    from mlflow_modelmap import Monitor

    model = model_of(start)
    with mlflow.start_run() as active:
        monitor = Monitor(texts, tokenizer=tokenizer_of(start))
        assert monitor.record(model, 0) is not None
        with torch.no_grad():
            model.get_output_embeddings().weight.fill_(float("nan"))
        assert monitor.record(model, 1) is None
        assert monitor.record(model, 2) is None
        with torch.no_grad():
            model.get_output_embeddings().weight.normal_(0, 0.02)
        assert monitor.record(model, 3) is not None
        monitor.close()
    assert history(active.info.run_id, "anomaly")[:2] == [(1, 1.0), (2, 1.0)]
    said = mlflow.get_run(active.info.run_id).data.tags["modelmap.anomaly"]
    assert [part.partition(":")[0] for part in said.split("; step ")] == ["step 1", "2"]
    assert [run.step for run in select_runs(run_ids=[active.info.run_id])] == [0, 3]
    assert sum("not finite" in record.message for record in caplog.records) == 1


def test_an_adapter_is_recorded_as_one_and_its_checkpoints_score_the_same(
    store, start, texts, tmp_path
):
    from peft import LoraConfig, get_peft_model

    def adapted(model):
        config = LoraConfig(
            task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=4, lora_dropout=0.1
        )
        return get_peft_model(model, config)

    plain = trainer(start, tmp_path / "plain", [], change=adapted, save_strategy="no")
    plain.train()
    callback = ModelMapCallback(texts, every=4, reference=str(start))
    with mlflow.start_run(run_name="adapter") as active:
        watched = trainer(start, tmp_path / "out", [callback], change=adapted)
        watched.train()
    assert losses(watched) == losses(plain)
    run = mlflow.get_run(active.info.run_id)
    assert run.data.tags["modelmap.adapter"] == "lora"
    assert run.data.tags["modelmap.base_model"] == str(start)
    assert run.data.tags["modelmap.base_model_relation"] == "adapter"
    far = dict(history(active.info.run_id, "kl_reference"))
    assert far[0] == pytest.approx(0, abs=1e-9)
    assert 1e-6 < far[4] < far[12]
    runs = select_runs(run_ids=[active.info.run_id])
    matrix, _ = read_matrix(runs)
    folder = tmp_path / "out" / "checkpoint-12"
    assert not (folder / "model.safetensors").exists()
    assert index_of(active.info.run_id)["model"].tolist()[-1] == str(folder)
    again = score(folder, texts, progress=False)
    assert again.log_likelihoods == pytest.approx(matrix.values[-1], abs=1e-3)


@pytest.mark.parametrize("named", [True, False])
def test_each_trial_of_a_search_is_a_training_of_its_own_with_its_own_checkpoints(
    store, start, texts, tmp_path, all_runs, monkeypatch, named
):
    """The Trainer's search as it goes through optuna (not installed): a trial is a training."""
    monkeypatch.setattr("transformers.integrations.hp_params", lambda trial: trial.params)
    out = tmp_path / "out"
    watched = trainer(start, out, [ModelMapCallback(texts)], save_strategy="steps", save_steps=6)
    watched.hp_search_backend, watched.hp_space = HPSearchBackend.OPTUNA, lambda trial: {}
    watched.hp_name = (lambda trial: f"mine-{trial.number}") if named else None
    for number in (0, 1):
        watched.train(trial=SimpleNamespace(number=number, params={}))
    runs = all_runs()
    assert len({run.info.run_name for run in runs}) == len(runs) == 2
    saved = [index_of(run.info.run_id).set_index("step")["model"].dropna() for run in runs]
    kind = "mine" if named else "run"
    assert sorted(paths.to_dict()[6] for paths in saved) == [
        str(out / f"{kind}-{number}" / "checkpoint-6") for number in (0, 1)
    ]


def test_a_trial_of_ray_finds_its_own_folder_and_not_that_of_one_beside_it(tmp_path, monkeypatch):
    args = TrainingArguments(str(tmp_path / "out"))
    state = TrainerState(global_step=6, is_hyper_param_search=True)
    for trial in ("own", "beside"):  # the later written
        (tmp_path / "out" / f"run-{trial}" / "checkpoint-6").mkdir(parents=True)
    os.utime(tmp_path / "out" / "run-own" / "checkpoint-6", (1, 1))
    beside = saved_in(args, state)
    assert beside.endswith("run-beside/checkpoint-6")
    own = SimpleNamespace(get_context=lambda: SimpleNamespace(get_trial_id=lambda: "own"))
    monkeypatch.setitem(sys.modules, "ray.tune", own)
    assert saved_in(args, state).endswith("run-own/checkpoint-6")
    monkeypatch.setitem(sys.modules, "ray.tune", SimpleNamespace())  # no trial of it
    assert saved_in(args, state) == beside
