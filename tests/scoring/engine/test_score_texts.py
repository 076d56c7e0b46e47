"""The engine: its numbers are the model's own, whatever the order, the batches and the head."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine import score_texts as engine
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring import architectures
from tests.scoring.endings import BentEnd, MixedEnd, ending_as
from tests.scoring.reckoning import files_in, in_float64, plain, score

CHECKED = [
    "gpt_neox",
    "llama",
    "gpt2",
    "gemma2",
    "opt",
    "opt with projection",
    "qwen2",
    "cohere",
    "granite",
    "phi",
    "gptj",
    "falcon",
    "falcon with alibi",
    "bloom",
    "mamba",
]


@pytest.mark.parametrize("name", CHECKED)
def test_log_likelihoods_are_those_of_a_float64_computation(name, tmp_path, texts):
    path = architectures.make(tmp_path / "model", name)
    result = score(path, texts, batch_tokens=100)
    np.testing.assert_allclose(result.log_likelihoods, in_float64(path, texts), atol=1e-3, rtol=0)
    assert result.provenance["head"] == "tiled"
    # A distribution worth the name: far from uniform over 400 tokens.
    assert np.std(result.log_likelihoods / result.scored_tokens + np.log(400)) > 0.02


def test_order_and_batches_change_nothing(tiny_model, texts):
    base = score(tiny_model, texts).log_likelihoods
    order = np.random.default_rng(0).permutation(len(texts))
    turned = TextSet("turned", tuple(texts.texts[i] for i in order))
    for budget in (1, 37, 100, 10_000):
        again = score(tiny_model, turned, batch_tokens=budget).log_likelihoods
        np.testing.assert_allclose(again, base[order], atol=1e-4, rtol=0)


def test_the_result_says_how_it_came_about(tiny_model, texts):
    seen = []
    result = engine.score_texts(
        files_in(tiny_model),
        texts,
        ScoringSettings(device="cpu"),
        progress=lambda done, total: seen.append((done, total)),
    )
    facts = result.provenance
    assert facts["precision"] == facts["dtype"] == "float32"
    assert facts["model_type"] == "gpt_neox"
    assert (facts["device"], facts["truncated"], facts["bos_applied"]) == ("cpu", 0, False)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert facts["parameters"] == model.num_parameters()
    assert facts["tokens_per_second"] > 0
    assert all(isinstance(value, (str, int, float, bool)) for value in facts.values())
    assert seen[-1][0] == seen[-1][1] == int(result.scored_tokens.sum()) + len(texts)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    np.testing.assert_array_equal(result.bytes, texts.bytes)
    assert result.layer_log_likelihoods is None


@pytest.mark.parametrize(("kind", "head"), [(BentEnd, "replayed"), (MixedEnd, "whole")])
def test_a_head_that_is_no_product_still_gives_its_own_logits(kind, head, tiny_model, texts):
    settings = ScoringSettings(device="cpu", batch_tokens=100)
    tokens = tokenize(tiny_model, texts, settings)
    model = ending_as(kind, tiny_model)
    result = score_model(model, tokens, settings)
    assert result.provenance["head"] == head
    np.testing.assert_allclose(result.log_likelihoods, plain(model, tokens.ids), atol=1e-3, rtol=0)
    ordinary = score(tiny_model, texts).log_likelihoods
    assert np.abs(result.log_likelihoods - ordinary).max() > 0.1


def test_a_model_in_training_is_left_as_it_was(tiny_model, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model, hidden_dropout=0.5).train()
    model.gpt_neox.final_layer_norm.eval()
    before = {name: module.training for name, module in model.named_modules()}
    tokens = tokenize(tiny_model, texts, ScoringSettings())
    result = score_model(model, tokens, ScoringSettings(layers=True))
    np.testing.assert_allclose(
        result.log_likelihoods, score(tiny_model, texts).log_likelihoods, atol=1e-4, rtol=0
    )
    assert before == {name: module.training for name, module in model.named_modules()}
    ids = torch.from_numpy(tokens.ids[0])[None]
    model(ids, labels=ids).loss.backward()


def test_memory_running_out_makes_batches_smaller(tiny_model, texts, monkeypatch):
    own = Tail.head_input
    asked = []

    def short_of_memory(self, ids, cache=None):
        asked.append(ids.numel())
        if ids.numel() > 60:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes")
        return own(self, ids, cache)

    base = score(tiny_model, texts).log_likelihoods
    monkeypatch.setattr(Tail, "head_input", short_of_memory)
    result = score(tiny_model, texts, batch_tokens=500)
    np.testing.assert_allclose(result.log_likelihoods, base, atol=1e-4, rtol=0)
    assert result.provenance["batch_shrunk"] >= 3
    assert max(asked) > 60


def test_a_text_that_does_not_fit_alone_is_named(tiny_model, texts, monkeypatch):
    own = Tail.head_input

    def short_of_memory(self, ids, cache=None):
        if ids.shape[1] > 12:  # What a head is proved on is not longer.
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, ids, cache)

    monkeypatch.setattr(Tail, "head_input", short_of_memory)
    with pytest.raises(ScoringError, match=r"Memory ran out on text \d+ alone"):
        score(tiny_model, texts)


def test_another_error_is_not_taken_for_memory(tiny_model, texts, monkeypatch):
    def broken(self, ids, cache=None):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Tail, "head_input", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        score(tiny_model, texts)


@pytest.fixture
def overflowing(tiny_model, tmp_path):
    """A model whose activations pass float16's 65,504 for texts with a certain token."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    token = tokenizer("#")["input_ids"][0]
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[token, :16] = 6e4
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_4h_to_h.bias[:16] = 8e3
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_an_overflow_in_float16_is_scored_again_in_float32(overflowing, texts):
    some = TextSet("some", (*texts.texts[:5], "no such sign here at all", "nor is there here"))
    result = score(overflowing, some, precision="float16")
    assert result.provenance["retried"] == 5
    assert result.provenance["dtype"] == "float16"
    (said,) = json.loads(result.provenance["notices"])
    assert said.startswith("5 texts were scored in float32, because float16 overflows")
    assert np.isfinite(result.log_likelihoods).all()
    full = score(overflowing, some).log_likelihoods
    np.testing.assert_allclose(result.log_likelihoods, full, atol=1, rtol=0)


def test_texts_that_stay_without_a_finite_value_are_named(tiny_model, tmp_path, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    token = tokenizer(texts.texts[9])["input_ids"][3]
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[token] = torch.nan
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    named = [i for i, text in enumerate(texts.texts) if token in tokenizer(text)["input_ids"][:-1]]
    assert named
    for precision, tried in (("float32", "in float32"), ("bfloat16", "nor in float32")):
        with pytest.raises(ScoringError, match="is not finite") as caught:
            score(tmp_path, texts, precision=precision)
        assert f"text {', '.join(map(str, named))} is" in str(caught.value)
        assert tried in str(caught.value)


def test_half_precision_is_near_float32(tiny_model, texts):
    base = score(tiny_model, texts).log_likelihoods
    for precision in ("bfloat16", "float16"):
        half = score(tiny_model, texts, precision=precision)
        assert half.provenance["dtype"] == precision
        difference = np.abs(half.log_likelihoods - base).max()
        assert 0 < difference < 2


@pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"), reason="this torch has no such switch"
)
def test_bfloat16_products_leave_the_process_as_it_was(tiny_model, texts):
    switch = torch.backends.mkldnn.matmul
    before = switch.fp32_precision
    base = score(tiny_model, texts).log_likelihoods
    result = score(tiny_model, texts, matmul="bfloat16")
    assert switch.fp32_precision == before
    assert result.provenance["matmul"] == "bfloat16"
    # Whether it has an effect is up to the processor; what is said of it must be true.
    noise = np.abs(result.log_likelihoods - base).max()
    assert result.provenance["matmul_rounded"] is bool(noise > 1e-3)
    np.testing.assert_allclose(result.log_likelihoods, base, atol=1, rtol=0)
    with pytest.raises(InputError):
        score(tiny_model, TextSet("x", ("word " * 400,)), matmul="bfloat16")
    assert switch.fp32_precision == before


def test_tokens_of_other_texts_or_policies_are_refused(tiny_model, texts):
    tokens = tokenize(tiny_model, texts, ScoringSettings())
    other = TextSet("other", texts.texts[:3])
    for wanted, settings in ((other, ScoringSettings()), (texts, ScoringSettings(bos="always"))):
        with pytest.raises(InputError, match="were made from other texts"):
            engine.score_texts(files_in(tiny_model), wanted, settings, tokens=tokens)
    result = engine.score_texts(files_in(tiny_model), texts, ScoringSettings(), tokens=tokens)
    base = score(tiny_model, texts).log_likelihoods
    np.testing.assert_array_equal(result.log_likelihoods, base)


def test_a_tokenizer_of_another_model_is_noticed(tmp_path, texts):
    path = tiny.make_model(tmp_path / "small", vocab_size=300)
    with pytest.raises(InputError, match="the model knows only 300"):
        score(path, texts)


def test_bos_lets_the_first_token_be_scored(tiny_models, texts):
    path = tiny_models("llama", bos=True)
    model = AutoModelForCausalLM.from_pretrained(path).double()
    tokenizer = AutoTokenizer.from_pretrained(path)
    with_bos = [tokenizer(text)["input_ids"] for text in texts.texts]
    result = score(path, texts)
    assert result.provenance["bos_applied"] is True
    np.testing.assert_allclose(result.log_likelihoods, plain(model, with_bos), atol=1e-3)
    np.testing.assert_array_equal(result.scored_tokens, [len(row) - 1 for row in with_bos])
    bare = score(path, texts, bos="never")
    without = plain(model, [row[1:] for row in with_bos])
    np.testing.assert_allclose(bare.log_likelihoods, without, atol=1e-3)
    np.testing.assert_array_equal(bare.scored_tokens, result.scored_tokens - 1)


def test_overlong_texts_are_named_or_cut(tiny_model, texts):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    some = TextSet("some", (texts.texts[0], "é" * 200 + " word" * 200))
    length = len(tokenizer(some.texts[1])["input_ids"])
    with pytest.raises(InputError, match=rf"Text 1 \({length} tokens\) has more than the 256"):
        score(tiny_model, some)
    cut = score(tiny_model, some, overlong="truncate")
    assert cut.provenance["truncated"] == 1
    np.testing.assert_array_equal(
        cut.scored_tokens, [len(tokenizer(some.texts[0])["input_ids"]) - 1, 255]
    )
    assert cut.bytes[0] == some.bytes[0]
    assert 0 < cut.bytes[1] < some.bytes[1]


def test_a_model_that_looks_ahead_is_refused(tmp_path, texts):
    from transformers import BertConfig, BertLMHeadModel

    tiny.make_tokenizer(tmp_path)
    config = BertConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.5,
    )
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="from the tokens after it"):
        score(tmp_path, texts)


def test_weights_that_are_missing_are_not_made_up(tiny_model, tmp_path, texts):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    gone = next(name for name in sorted(weights) if "dense_h_to_4h.weight" in name)
    save_file(
        {name: tensor for name, tensor in weights.items() if name != gone},
        tmp_path / "model" / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ScoringError, match="dense_h_to_4h"):
        score(tmp_path / "model", texts)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vit"}, "no causal language model"),
        ({"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "x.Y"}}, "its own code"),
        ({}, "names no model_type"),
    ],
)
def test_what_is_no_causal_model_is_said_in_a_sentence(
    config, message, tiny_model, tmp_path, texts
):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        score(tmp_path / "model", texts)


def test_a_model_without_weights_is_said(tiny_model, tmp_path, texts):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has no weights"):
        score(tmp_path / "model", texts)


@pytest.mark.parametrize("layers", [False, True])
def test_a_model_whose_weights_lie_elsewhere_is_scored_by_its_own_tail(
    layers, tiny_model, tmp_path, texts
):
    from accelerate import disk_offload

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
    settings = ScoringSettings(layers=layers)
    result = score_model(model, tokenize(tiny_model, texts, settings), settings)
    assert result.provenance["head"] == "replayed"
    base = score(tiny_model, texts).log_likelihoods
    np.testing.assert_allclose(result.log_likelihoods, base, atol=1e-4, rtol=0)
