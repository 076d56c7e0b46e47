"""A model in training that is scored as it lies in memory: nothing of it is another afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoTokenizer,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
)
from transformers.integrations.flash_attention import get_target_dtype
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.engine.live import _attention_in_float32, score_live, tokens_for
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts, tokenize
from tests.scoring.tokenizer import foreign_class

SHORT = [np.arange(n) % 64 for n in (10, 14, 20)]


def tokens() -> TokenizedTexts:
    return TokenizedTexts(
        tuple(SHORT),
        tuple(np.arange(1, len(ids) + 1) for ids in SHORT),
        np.array([len(ids) for ids in SHORT]),
        *(1, False, (), "x", "auto", False),
    )


def small_config(max_position_embeddings: int = 64) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=max_position_embeddings,
    )


def test_dynamic_rotary_embeddings_stay_as_the_training_left_them():
    """After 60 tokens 48 are read with the frequencies of 60, which a short text resets."""
    torch.manual_seed(0)
    long, middle = torch.randint(0, 64, (1, 60)), torch.randint(0, 64, (1, 48))

    def loss(record: bool) -> float:
        torch.manual_seed(0)
        config = small_config(max_position_embeddings=32)
        config.rope_scaling = {"rope_type": "dynamic", "factor": 4.0}
        if hasattr(config, "rope_parameters"):
            config.rope_parameters = {**config.rope_scaling, "rope_theta": 1e4}
        model = LlamaForCausalLM(config).train()
        model(input_ids=long, labels=long)
        assert model.model.rotary_emb.max_seq_len_cached == 60
        if record:
            first = score_live(model, tokens(), ScoringSettings()).log_likelihoods
            again = score_live(model, tokens(), ScoringSettings()).log_likelihoods
            assert np.array_equal(first, again)
            assert model.model.rotary_emb.max_seq_len_cached == 60
        return model(input_ids=middle, labels=middle).loss.item()

    assert loss(record=True) == loss(record=False)


def small_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(small_config())


def test_a_model_that_was_compiled_in_place_is_scored_as_it_is_written():
    """Its graph was made without the hooks by which a layer's output is taken."""
    expected = score_live(small_llama(), tokens(), ScoringSettings())
    model, rows = small_llama().train(), torch.randint(0, 64, (2, 20))
    model.compile(backend="eager")
    model(input_ids=rows, labels=rows).loss.backward()
    compiled = model._compiled_call_impl
    found = score_live(model, tokens(), ScoringSettings())
    assert found.provenance["head"] == expected.provenance["head"] == "tiled"
    np.testing.assert_allclose(found.log_likelihoods, expected.log_likelihoods, atol=1e-5)
    assert model._compiled_call_impl is compiled
    model(input_ids=rows, labels=rows).loss.backward()


def test_float32_weights_that_train_with_flash_attention_are_scored_without_it():
    """Its kernels take half precision alone, which autocasting had given them."""

    def kernel(module, query, key, value, mask, **how):
        wanted = get_target_dtype(query, module)
        if wanted is not None:
            query, key, value = query.to(wanted), key.to(wanted), value.to(wanted)
        if query.dtype not in (torch.float16, torch.bfloat16):
            raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
        return sdpa_attention_forward(module, query, key, value, mask, **how)

    AttentionInterface.register("like_flash", kernel)
    AttentionMaskInterface.register("like_flash", sdpa_mask)
    expected = score_live(small_llama(), tokens(), ScoringSettings()).log_likelihoods
    model, rows = small_llama().train(), torch.zeros(1, 9).long()
    model.config._attn_implementation = "like_flash"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(input_ids=rows, labels=rows).loss.backward()
        found = score_live(model, tokens(), ScoringSettings()).log_likelihoods
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert model.config._attn_implementation == "like_flash"
        model(input_ids=rows, labels=rows).loss.backward()
    half = model.to(torch.bfloat16)
    assert np.isfinite(score_live(half, tokens(), ScoringSettings()).log_likelihoods).all()


def test_other_parts_keep_the_attention_that_they_train_with():
    """A model of text and pictures has a configuration for each, and one around both."""
    config = LlavaConfig(
        text_config=LlamaConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2),
        vision_config=CLIPVisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2),
    )
    parts = (config, config.text_config, config.vision_config)
    ways = ("flash_attention_2", "flash_attention_2", "eager")
    for part, way in zip(parts, ways, strict=True):
        part._attn_implementation_internal = way
    model = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in parts)
    for module, part in zip(model, parts, strict=True):
        module.config = part
    with _attention_in_float32(model):
        assert [part._attn_implementation for part in parts] == ["sdpa", "sdpa", "eager"]
    assert tuple(part._attn_implementation for part in parts) == ways


def test_a_tokenizer_at_hand_that_splits_otherwise_than_its_file_says_so(tmp_path):
    """The Trainer's is made by its class, and references follow tokenizer.json."""
    declared = "Qwen2Tokenizer"
    foreign_class.write(tmp_path, declared)
    config = {"model_type": "llama", "max_position_embeddings": 512}
    (tmp_path / "config.json").write_text(json.dumps(config))
    texts, settings = TextSet("t", foreign_class.TEXTS), ScoringSettings()
    own = AutoTokenizer.from_pretrained(tmp_path)
    by_file = tokenize(tmp_path, texts, settings)
    live = tokens_for(str(tmp_path), own, texts, settings)
    differ = sum(list(a) != list(b) for a, b in zip(live.ids, by_file.ids, strict=True))
    again = tokens_for(str(tmp_path), own, texts, settings)
    assert [list(ids) for ids in again.ids] == [list(ids) for ids in live.ids], "left as it was"
    if not differ:
        pytest.skip("this transformers reads every tokenizer as its file says")
    assert live.facts["tokens_from"] == "class"
    assert live.facts["tokenizer_class_differs"] == differ
    assert "tokens_from=class" in live.notices[-1]
    as_in_file = tokens_for(str(tmp_path), load_tokenizer(tmp_path), texts, settings)
    assert "tokens_from" not in as_in_file.facts
