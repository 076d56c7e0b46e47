"""Trainings of adapters: recorded with their adapter, and said to be what they are."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from packaging.version import Version
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers.integrations.peft import MIN_PEFT_VERSION

from mlflow_modelmap import Monitor, TextSet, score
from mlflow_modelmap.scoring.engine.live import left_alone
from mlflow_modelmap.scoring.engine.live_adapter import adapter_off
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import adapters, tiny
from tests.hub_server import HubServer
from tests.training import examples, model_of, monitoring_texts, tokenizer_of


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose layers bitsandbytes can quantise, with a tokenizer that pads."""
    path = tiny.make_model(
        tmp_path_factory.mktemp("start"),
        "llama",
        scale=1.0,
        hidden_size=64,
        intermediate_size=128,
    )
    tokenizer_of(path).save_pretrained(path)
    return path


@pytest.fixture
def texts() -> TextSet:
    return monitoring_texts(2)


def lora(**more: Any) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=4, **more)


def in_4_bits(path: Path) -> Any:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    return AutoModelForCausalLM.from_pretrained(
        path, quantization_config=config, dtype=torch.float32
    )


def train(model: Any, tokenizer: Any, steps: int = 3) -> None:
    wanted = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=1e-2)
    rows = torch.tensor([row["input_ids"] for row in examples(tokenizer)[:4]])
    for _ in range(steps):
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def tags_of(run_id: str) -> dict[str, str]:
    return mlflow.MlflowClient().get_run(run_id).data.tags


@pytest.mark.parametrize("reference", ["base", "path"])
def test_it_is_an_adapter_on_its_base_from_0_on(reference, store, start, texts, tmp_path):
    torch.manual_seed(0)
    model, tokenizer = get_peft_model(model_of(start), lora(use_dora=True)), tokenizer_of(start)
    before = [(p.requires_grad, p.detach().clone()) for p in model.parameters()]
    named = "base" if reference == "base" else str(start)
    watched = Monitor(texts, tokenizer=tokenizer, reference=named)
    with mlflow.start_run() as active, watched as monitor:
        first = monitor.record(model, 0)
        assert [(p.requires_grad) for p in model.parameters()] == [grad for grad, _ in before]
        assert all(
            torch.equal(p, was) for p, (_, was) in zip(model.parameters(), before, strict=True)
        )
        train(model, tokenizer)
        model.save_pretrained(tmp_path / "saved")
        tokenizer.save_pretrained(tmp_path / "saved")
        later = monitor.record(model, 3, saved=tmp_path / "saved")
    assert first.kl_reference == pytest.approx(0, abs=1e-9)
    assert later.kl_reference > 1e-4
    saved = score(tmp_path / "saved", texts, progress=False)
    points = select_runs(run_ids=[active.info.run_id])
    matrix, _ = read_matrix(points)
    alone = score(start, texts, progress=False).log_likelihoods
    assert matrix.values[0] == pytest.approx(alone, abs=1e-4)
    assert matrix.values[1] == pytest.approx(saved.log_likelihoods, abs=1e-3)
    tags, of_saved = tags_of(active.info.run_id), tags_of(saved.run_id)
    assert tags["modelmap.adapter"] == "dora"
    assert tags["modelmap.precision"] == "float32"
    for name in ("adapter_base", "base_model", "base_model_relation", "model_type"):
        assert tags[f"modelmap.{name}"] == of_saved[f"modelmap.{name}"]
    assert tags["modelmap.base_model_relation"] == "adapter"
    assert mlflow.get_run(active.info.run_id).data.params["modelmap.adapter_merged"] == "false"


def test_a_quantised_base_is_said_and_is_a_reference(store, start, texts):
    from peft import prepare_model_for_kbit_training

    torch.manual_seed(0)
    model = get_peft_model(prepare_model_for_kbit_training(in_4_bits(start)), lora())
    tokenizer = tokenizer_of(start)
    watched = Monitor(texts, tokenizer=tokenizer, reference="base", exact=True)
    with mlflow.start_run() as active, watched as monitor:
        first = monitor.record(model, 0)
        train(model, tokenizer)
        later = monitor.record(model, 3)
    assert first.kl_reference == first.exact_forward == 0
    assert 0 < later.exact_forward < 2 * later.kl_reference
    tags = tags_of(active.info.run_id)
    assert (tags["modelmap.precision"], tags["modelmap.adapter"]) == ("nf4", "lora")
    assert tags["modelmap.adapter_base"].startswith(f"{start}@sha256:")
    assert "modelmap.reference_run" not in tags
    stored = score(start, texts, precision="nf4", progress=False)
    matrix, _ = read_matrix(select_runs(run_ids=[active.info.run_id]))
    assert matrix.values[0] == pytest.approx(stored.log_likelihoods, abs=1e-3)


def test_checkpoints_that_hold_only_an_adapter_are_scored_on_their_base(
    store, start, texts, tmp_path
):
    made = [
        adapters.make_adapter(tmp_path / str(n), start, adapters.lora("llama"), seed=n)
        for n in range(2)
    ]
    watched = Monitor(texts, tokenizer=tokenizer_of(start), reference="base", exact=True)
    with mlflow.start_run() as active, watched as monitor:
        assert [monitor.record_saved(made[n], n).step for n in range(2)] == [0, 1]
        assert monitor.stopped is None
        kl = [monitor._training.run.index[name].tolist() for name in ("kl_reference", "exact_top1")]
    assert min(kl[0]) > 1e-3
    assert max(kl[1]) < 1
    tags = tags_of(active.info.run_id)
    alone = score(made[1], texts, progress=False)
    matrix, _ = read_matrix(select_runs(run_ids=[active.info.run_id]))
    assert np.array_equal(matrix.values[1], alone.log_likelihoods)
    assert tags["modelmap.adapter"] == "lora"
    assert tags["modelmap.adapter_base"] == tags_of(alone.run_id)["modelmap.adapter_base"]


@pytest.mark.skipif(
    Version(metadata.version("peft")) < Version(MIN_PEFT_VERSION),
    reason=f"the installed transformers takes PEFT from {MIN_PEFT_VERSION} on",
)
def test_adapters_of_transformers_itself(store, start, texts):
    model = model_of(start)
    model.add_adapter(lora(init_lora_weights=False))
    with mlflow.start_run() as active:
        monitor = Monitor(texts, tokenizer=tokenizer_of(start), reference="base", raise_errors=True)
        assert monitor.record(model, 0).kl_reference > 1e-4
        monitor.close()
    assert tags_of(active.info.run_id)["modelmap.adapter"] == "lora"


def test_virtual_tokens_are_refused_and_training_goes_on(store, start, texts, caplog):
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = get_peft_model(model_of(start), config)
    monitor = Monitor(texts, tokenizer=tokenizer_of(start))
    with mlflow.start_run():
        assert monitor.record(model, 0) is None
    assert monitor.stopped is not None
    assert "of the kind prompt_tuning, which puts virtual tokens before a text" in monitor.stopped


def test_base_is_a_directory_where_a_whole_model_is_trained(
    store, start, texts, tmp_path, monkeypatch
):
    (tmp_path / "base").symlink_to(start)
    monkeypatch.chdir(tmp_path)
    with mlflow.start_run():
        monitor = Monitor(texts, tokenizer=tokenizer_of(start), reference="base", raise_errors=True)
        assert monitor.record(model_of(start), 0).kl_reference == 0
        monitor.close()


def test_a_base_is_switched_on_and_off_without_a_trace(start):
    model = get_peft_model(model_of(start), lora(init_lora_weights=False))
    frozen = next(p for name, p in model.named_parameters() if "lora_A" in name)
    frozen.requires_grad_(False)
    wanted = [p.requires_grad for p in model.parameters()]
    ids = torch.arange(8)[None]
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        with adapter_off(model):
            alone = model(input_ids=ids).logits
        assert torch.equal(alone, model_of(start)(input_ids=ids).logits)
        assert torch.equal(model(input_ids=ids).logits, whole)
    assert [p.requires_grad for p in model.parameters()] == wanted


def test_4_bit_weights_that_scoring_packs_are_unpacked_again(start):
    model = in_4_bits(start)
    weight = model.model.layers[0].self_attn.q_proj.weight
    data, absmax = weight.data, weight.quant_state.absmax.clone()
    with left_alone(model):  # as bitsandbytes does where a CPU multiplies bfloat16
        weight.data = weight.data.clone().flip(0)
        weight.quant_state.absmax = weight.quant_state.absmax * 2
        weight.quant_state.packing_format_for_cpu = True
    assert weight.data.data_ptr() == data.data_ptr()
    assert torch.equal(weight.quant_state.absmax, absmax)
    assert not getattr(weight.quant_state, "packing_format_for_cpu", False)


def test_a_base_of_the_hub_is_named_with_the_commit_that_was_fetched(
    store, start, texts, monkeypatch, tmp_path
):
    with HubServer() as hub:
        commit = hub.add("org/base", start)
        hub.use(monkeypatch, tmp_path / "cache")
        score("org/base", texts, progress=False)  # fetches it
        model = get_peft_model(model_of(start), lora())
        model.get_base_model().config._name_or_path = "org/base"
        watched = Monitor(texts, tokenizer=tokenizer_of(start), reference="org/base")
        with mlflow.start_run() as active, watched as monitor:
            assert monitor.record(model, 0).kl_reference == pytest.approx(0, abs=1e-9)
    tags = tags_of(active.info.run_id)
    assert tags["modelmap.adapter_base"] == f"org/base@{commit}"
    assert tags["modelmap.base_model"] == "org/base"
