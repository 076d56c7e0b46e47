"""vLLM as an engine, by a stand-in that answers as its documentation says."""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import TextSet, score
from mlflow_modelmap.errors import InputError, ScoringError
from tests import tiny, vllm_stand_in
from tests.completion_server import trained
from tests.gguf_model import write_gguf

TEXTS = TextSet("sentences", tuple(tiny.SENTENCES))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("vllm") / "tiny")


@pytest.fixture
def stand_in(monkeypatch):
    vllm_stand_in.install(monkeypatch)
    return vllm_stand_in


def by_vllm(model, texts=TEXTS, **given):
    return score(model, texts, engine="vllm", progress=False, **given)


def test_the_values_are_those_of_transformers(store, model, stand_in):
    scored = by_vllm(model, tensor_parallel=2)
    here = score(model, TEXTS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    run = mlflow.get_run(scored.run_id)
    assert run.info.run_name.endswith(" vllm")
    assert run.data.tags["modelmap.engine"] == "vllm"
    assert run.data.params["modelmap.tensor_parallel"] == "2"
    (made,) = stand_in.LLM.made
    assert made.options["tensor_parallel_size"] == 2
    assert made.options["dtype"] == "float32"
    longest = max(len(row) for row in _ids(model))
    assert made.options["max_model_len"] == longest + 1


def _ids(model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)(list(TEXTS.texts))["input_ids"]


def test_the_precision_is_the_stored_one_unless_asked_for(store, model, stand_in, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(model, dtype="bfloat16").save_pretrained(half)
    AutoTokenizer.from_pretrained(model).save_pretrained(half)
    scored = by_vllm(half)
    assert mlflow.get_run(scored.run_id).data.tags["modelmap.precision"] == "bfloat16"
    assert stand_in.LLM.made[-1].options["dtype"] == "bfloat16"
    by_vllm(half, precision="float32")
    assert stand_in.LLM.made[-1].options["dtype"] == "float32"


def test_an_adapter_is_given_to_it_unmerged(store, model, stand_in, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    adapted.save_pretrained(tmp_path / "lora")
    scored = by_vllm(tmp_path / "lora", base=model)
    here = score(tmp_path / "lora", TEXTS, base=model, progress=False)
    base = score(model, TEXTS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    assert np.abs(scored.log_likelihoods - base.log_likelihoods).max() > 0.1
    assert mlflow.get_run(scored.run_id).data.params["modelmap.adapter_merged"] == "false"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda said: said[:-1], r"gives \d+ values for the \d+ tokens of text"),
        (lambda said: None, r"gives 0 values"),
        (lambda said: [*said[:3], {0: said[3] and None}, *said[4:]], r"no finite log-likelihood"),
    ],
)
def test_answers_that_are_none(store, model, stand_in, monkeypatch, damage, sentence):
    original = vllm_stand_in.LLM.generate

    def generate(self, *given, **options):
        answers = original(self, *given, **options)
        for answer in answers:
            answer.prompt_logprobs = damage(answer.prompt_logprobs)
        return answers

    monkeypatch.setattr(vllm_stand_in.LLM, "generate", generate)
    with pytest.raises(ScoringError, match=sentence):
        by_vllm(model)


def test_a_text_of_all_positions_is_one_too_long(store, model, stand_in):
    from transformers import AutoTokenizer

    long = " ".join(tiny.SENTENCES * 4)
    tokenizer = AutoTokenizer.from_pretrained(model)
    while len(tokenizer(long)["input_ids"]) > 256:
        long = long[:-1]
    texts = TextSet("long", (long, tiny.SENTENCES[0]))
    if len(tokenizer(long)["input_ids"]) == 256:
        with pytest.raises(InputError, match="more than the 255 tokens"):
            by_vllm(model, texts)
    by_vllm(model, texts, overlong="truncate")


def test_a_model_that_does_not_load(store, model, stand_in, monkeypatch):
    def fails(self, *given, **options):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(vllm_stand_in.LLM, "__init__", fails)
    with pytest.raises(ScoringError, match=r"vLLM cannot load .*CUDA out of memory"):
        by_vllm(model)


def test_without_its_library_and_gguf(store, model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"install `mlflow-modelmap\[vllm\]`"):
        by_vllm(model)
    vllm_stand_in.install(monkeypatch)
    write_gguf(tmp_path / "tiny.gguf", model, "F32", pre="gpt-2")
    with pytest.raises(InputError, match=r"is a GGUF file"):
        by_vllm(tmp_path / "tiny.gguf")
