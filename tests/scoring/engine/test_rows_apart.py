"""Models whose rows are known not to change each other: what is said of each kind holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    MixtralForCausalLM,
)

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.engine import scorer
from mlflow_modelmap.scoring.engine.batches import make_batch
from mlflow_modelmap.scoring.engine.rows_apart import KINDS, beginnings, rows_are_apart
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny

SETTINGS = ScoringSettings(device="cpu", batch_tokens=400)
LENGTHS = (150, 97, 31, 6)
TEXT_ONLY = {"gemma3": "gemma3_text"}
HERE = sorted(k for k in KINDS - tiny.NOT_IN_FLOAT64 if TEXT_ONLY.get(k, k) in CONFIG_MAPPING)
"""The kinds that the installed transformers has."""
SMALL = {
    "vocab_size": 60,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("num_key_value_heads",), 2),
    **dict.fromkeys(("head_dim", "rotary_dim", "query_pre_attn_scalar"), 8),
    **{"word_embed_proj_dim": 32, "sliding_window": 16, "pad_token_id": 0, "rope_parameters": None},
    **dict.fromkeys(("bos_token_id", "eos_token_id"), 0),
}


def small(kind):
    """A random model of a kind, in float64 (some compute attention in float32 all the same)."""
    name = TEXT_ONLY.get(kind, kind)
    known = AutoConfig.for_model(name).to_dict()
    chosen = {key: value for key, value in SMALL.items() if key in known}
    if kind == "gpt_neo":
        chosen |= {"attention_types": [[["global", "local"], 1]], "window_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **chosen)).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(5.0 if parameter.dim() == 2 else 1.0)
    return model.eval()


def log_likelihoods(model, rows):
    """Of the tokens of each row, read in one batch."""
    batch = make_batch(rows, np.arange(len(rows)), 1)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(batch.ids), use_cache=False).logits
    flat = logits.log_softmax(-1).reshape(-1, logits.shape[-1])
    found = flat[batch.rows, batch.targets].numpy()
    return [found[batch.owners == place] for place in range(len(rows))]


@pytest.mark.parametrize("kind", HERE)
def test_rows_of_very_different_lengths_do_not_change_each_other(kind):
    model = small(kind)
    assert rows_are_apart(model)
    draw = np.random.default_rng(0)
    rows = [draw.integers(1, 60, length) for length in LENGTHS]
    together = log_likelihoods(model, rows)
    assert np.ptp(np.concatenate(together)) > 1e-3
    for row, values in zip(rows, together, strict=True):
        np.testing.assert_allclose(values, log_likelihoods(model, [row])[0], rtol=0, atol=5e-6)


class Own(LlamaForCausalLM):
    """A class of the user's own."""

    def forward(self, *args, **kwargs):
        """Whatever it may do."""
        return super().forward(*args, **kwargs)


class Normalised(nn.Module):
    """Makes each row depend on all of them."""

    def __init__(self, inner, scale=1.0):
        super().__init__()
        self.inner, self.scale = inner, scale

    def forward(self, hidden):
        """Without the mean of the batch."""
        return self.scale * self.inner(hidden - hidden.mean(dim=0, keepdim=True))


def llama(kind=LlamaForCausalLM, **more):
    return kind(tiny.make_config("llama", **more)).eval()


def hooked():
    model = llama()
    model.model.layers[0].register_forward_hook(lambda module, args, output: output)
    return model


def replaced():
    model = llama()
    model.model.layers[0].mlp.forward = lambda hidden: hidden - hidden.mean(dim=0)
    return model


def patched_class(monkeypatch):
    model = llama()
    kind = type(model.model.layers[0].mlp)
    monkeypatch.setattr(kind, "forward", lambda self, hidden: hidden - hidden.mean(dim=0))
    return model


def patched_torch(monkeypatch):
    model = llama()
    monkeypatch.setattr(nn.Linear, "forward", lambda self, hidden: hidden - hidden.mean(dim=0))
    return model


def otherwise(model, attention):
    model.config._attn_implementation = attention
    return model


def layered():
    model = llama()
    model.model.layers[1].mlp = Normalised(model.model.layers[1].mlp)
    return model


def rotary(kind):
    model = llama()
    model.model.rotary_emb.rope_type = kind
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda patch: llama(Own),
        lambda patch: hooked(),
        lambda patch: replaced(),
        patched_class,
        patched_torch,
        lambda patch: otherwise(llama(), "a user's own"),
        lambda patch: layered(),
        lambda patch: rotary("longrope"),
        lambda patch: llama(
            rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        ),
        lambda patch: MixtralForCausalLM(tiny.make_config("mixtral")),
    ],
    ids=(
        "class",
        "hook",
        "forward",
        "patch",
        "torch",
        "attention",
        "layer",
        "rope",
        "dynamic",
        "moe",
    ),
)
def test_whatever_is_not_known_is_proved_at_its_lengths(make, monkeypatch):
    assert rows_are_apart(llama())
    assert not rows_are_apart(make(monkeypatch))


def test_an_adapter_is_known_too():
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(llama(), peft.LoraConfig(task_type="CAUSAL_LM", r=2)).eval()
    assert rows_are_apart(model)


def tokens_read(monkeypatch, known, model, tokens):
    """Tokens that went through the model, padding included, and the score."""
    monkeypatch.setattr(scorer, "rows_are_apart", lambda model: known)
    count = []
    seen = model.get_input_embeddings()
    seen.register_forward_pre_hook(lambda _, args: count.append(args[0].numel()))
    scored = score_model(model, tokens, replace(SETTINGS, batch_tokens=900))
    return sum(count), scored


def test_a_known_model_reads_little_more_than_its_texts(tiny_model, texts, monkeypatch):
    long = TextSet("long", tuple(" ".join(texts.texts[k:] + texts.texts[:k]) for k in range(4)))
    tokens = tokenize(tiny_model, long, SETTINGS)
    make = AutoModelForCausalLM.from_pretrained
    most, whole = tokens_read(monkeypatch, False, make(tiny_model), tokens)
    least, short = tokens_read(monkeypatch, True, make(tiny_model), tokens)
    total, longest = int(tokens.lengths.sum()), int(tokens.lengths.max())
    assert least < total + 300 < total + 4 * longest < most
    np.testing.assert_array_equal(whole.log_likelihoods, short.log_likelihoods)
    assert whole.provenance["batch_policy"] == short.provenance["batch_policy"]


def test_what_fails_the_short_proof_has_the_long_one(tiny_model, texts, monkeypatch):
    tokens = tokenize(tiny_model, texts, SETTINGS)
    monkeypatch.setattr(scorer, "rows_are_apart", lambda model: True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    last = model.get_output_embeddings()
    last.register_forward_pre_hook(lambda _, args: (args[0] - args[0].mean(dim=0, keepdim=True),))
    assert score_model(model, tokens, SETTINGS).provenance["batch_policy"] == "one text"


def test_a_model_that_was_made_float32_is_proved_anew(tiny_model, texts):
    def model(dtype):
        made = AutoModelForCausalLM.from_pretrained(tiny_model).to(dtype).eval()
        first = made.base_model.layers[0]
        first.mlp = Normalised(first.mlp, scale=1e7)  # past what float16 holds
        return made

    tokens = tokenize(tiny_model, texts, SETTINGS)
    half = score_model(model(torch.float16), tokens, SETTINGS, precision="float16")
    assert half.provenance["retried"] == len(texts)
    assert half.provenance["batch_policy"] == "one text"
    whole = score_model(model(torch.float16).float(), tokens, SETTINGS)
    np.testing.assert_array_equal(half.log_likelihoods, whole.log_likelihoods)


def test_beginnings_are_of_different_lengths():
    pieces = [np.arange(n) for n in (5, 100, 1, 30, 12)]
    assert [len(ids) for ids in beginnings(pieces)] == [24, 16, 8]
    assert [len(ids) for ids in beginnings(pieces[:1] + pieces[2:3])] == [5]
