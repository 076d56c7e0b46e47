"""The Lightning callback on a real Lightning training."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
import torch

from mlflow_modelmap import ModelMapLightningCallback, score
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.training import examples, model_of, monitoring_texts, start_model, tokenizer_of

pytestmark = pytest.mark.slow
lightning = pytest.importorskip("lightning.pytorch", reason="an optional extra")


class Module(lightning.LightningModule):
    """A language model as people wrap it."""

    def __init__(self, path, change=lambda model: model):
        super().__init__()
        self.language_model = change(model_of(path))
        self.losses: list[float] = []

    def training_step(self, batch, _):
        noise = torch.rand(())  # so that random draws count
        loss = self.language_model(input_ids=batch, labels=batch).loss * (1 + 0.1 * noise)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


class Validated(Module):
    """One that is validated amid its training."""

    def validation_step(self, batch, _):
        self.log("val_loss", self.language_model(input_ids=batch, labels=batch).loss)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return start_model(tmp_path_factory.mktemp("start"))


def fit(start, folder, callbacks, steps=8, change=lambda model: model, of=Module, **options):
    lightning.seed_everything(0, verbose=False)
    module = of(start, change)
    rows = torch.tensor([row["input_ids"] for row in examples(tokenizer_of(start))])
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **options,
    )
    loader = torch.utils.data.DataLoader(rows, batch_size=4, shuffle=True)
    trainer.fit(module, loader, loader if of is Validated else None)
    return module


def test_it_records_every_so_many_steps_and_training_is_the_same(store, start, tmp_path, all_runs):
    plain = fit(start, tmp_path / "plain", [], enable_checkpointing=False)
    callback = ModelMapLightningCallback(
        monitoring_texts(), tokenizer=tokenizer_of(start), every=3, trajectory="line"
    )
    with mlflow.start_run():
        watched = fit(start, tmp_path / "out", [callback], enable_checkpointing=False)
    assert watched.losses == plain.losses
    assert len(plain.losses) == 8
    (run,) = all_runs()
    runs = select_runs(run_ids=[run.info.run_id])
    assert [point.name for point in runs] == [f"line step {step}" for step in (0, 3, 6, 8)]
    matrix, _ = read_matrix(runs)
    own = score(start, monitoring_texts(), progress=False).log_likelihoods
    assert np.array_equal(matrix.values[0], own)
    watched.language_model.save_pretrained(tmp_path / "last")
    tokenizer_of(start).save_pretrained(tmp_path / "last")
    last = score(tmp_path / "last", monitoring_texts(), progress=False).log_likelihoods
    assert last == pytest.approx(matrix.values[-1], abs=1e-4)


def test_without_a_number_of_steps_it_records_what_lightning_saves(store, start, tmp_path):
    saving = lightning.callbacks.ModelCheckpoint(tmp_path / "saved", every_n_train_steps=4)
    callback = ModelMapLightningCallback(
        monitoring_texts(),
        tokenizer=tokenizer_of(start),
        name="alone",
        model=lambda module: module.language_model,
    )
    trained = fit(start, tmp_path, [callback, saving], steps=9)
    trained.trainer.save_checkpoint(tmp_path / "final.ckpt")  # the training is over
    (run,) = mlflow.search_runs(["1"], output_format="list")
    assert (run.info.run_name, run.info.status) == ("alone", "FINISHED")
    assert [point.step for point in select_runs(run_ids=[run.info.run_id])] == [0, 4, 8, 9]


def test_what_lightning_saves_after_a_validation_is_recorded(store, start, tmp_path):
    saved = lightning.callbacks.ModelCheckpoint(tmp_path, save_top_k=-1, monitor="val_loss")
    callback = ModelMapLightningCallback(monitoring_texts(), tokenizer=tokenizer_of(start))
    options = {"of": Validated, "val_check_interval": 3, "limit_val_batches": 1}
    with mlflow.start_run() as run:
        fit(start, tmp_path, [callback, saved], check_val_every_n_epoch=None, **options)
    points = select_runs(run_ids=[run.info.run_id])
    assert sorted(point.step for point in points) == [0, 3, 6, 8]


def test_a_training_that_fails_ends_a_run_that_was_made_as_failed(store, start, tmp_path):
    class Fails(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 3:
                raise ZeroDivisionError

    callback = ModelMapLightningCallback(
        monitoring_texts(), tokenizer=tokenizer_of(start), every=2, name="alone"
    )
    with pytest.raises(ZeroDivisionError):
        fit(start, tmp_path, [callback, Fails()], enable_checkpointing=False)
    (run,) = mlflow.search_runs(["1"], output_format="list")
    assert run.info.status == "FAILED"
    assert [point.step for point in select_runs(run_ids=[run.info.run_id])] == [0, 2]


def test_what_cannot_be_is_said(start):
    with pytest.raises(InputError, match="every is 0"):
        ModelMapLightningCallback(monitoring_texts(), tokenizer=tokenizer_of(start), every=0)


def test_an_adapter_is_recorded_as_one(store, start, tmp_path):
    from peft import LoraConfig, get_peft_model

    targets = ["v_proj", "down_proj"]
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=targets, r=4, lora_alpha=64)
    callback = ModelMapLightningCallback(
        monitoring_texts(2), tokenizer=tokenizer_of(start), every=3, reference="base"
    )
    with mlflow.start_run() as active:
        watched = fit(
            start,
            tmp_path,
            [callback],
            steps=3,
            change=lambda model: get_peft_model(model, config),
            enable_checkpointing=False,
        )
    run = mlflow.get_run(active.info.run_id)
    assert run.data.tags["modelmap.adapter"] == "lora"
    assert run.data.tags["modelmap.adapter_base"].startswith(f"{start}@sha256:")
    far = mlflow.MlflowClient().get_metric_history(run.info.run_id, "modelmap/kl_reference")
    assert far[0].value == pytest.approx(0, abs=1e-9)
    assert far[-1].value > 1e-7
    watched.language_model.save_pretrained(tmp_path / "last")
    last = score(tmp_path / "last", monitoring_texts(2), progress=False).log_likelihoods
    matrix, _ = read_matrix(select_runs(run_ids=[run.info.run_id]))
    assert last == pytest.approx(matrix.values[-1], abs=1e-3)
