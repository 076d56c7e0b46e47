"""The way of a score on CUDA, on devices that are pretended: numbers, devices, waits."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.scoring.accelerator import copies
from mlflow_modelmap.scoring.accelerator.copies import to_device
from mlflow_modelmap.scoring.engine import overflow, prove, score_texts
from mlflow_modelmap.scoring.engine.score_texts import evaluating, score_model
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.exact.layers import compare_layers
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from tests import tiny
from tests.scoring.endings import BentEnd, MixedEnd
from tests.scoring.pretended_cuda import lies_on, placed, pretended_cuda

SETTINGS = ScoringSettings(batch_tokens=60)
LENS = ScoringSettings(batch_tokens=60, layers=True)


@pytest.fixture(scope="module")
def tokens():
    return some_tokens(6)


def some_tokens(count: int) -> TokenizedTexts:
    ids = tuple(np.random.default_rng(i).integers(0, 400, 20 + i) for i in range(count))
    return TokenizedTexts(ids, ids, np.full(count, 50), 1, False, (), "", "auto", False)


def made(architecture: str = "gpt_neox", seed: int = 0):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny.make_config(architecture)).eval()
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4)
    return model


def on_cuda(model):
    return placed(copy.deepcopy(model), lambda name: "cuda:0")


def on_three(model):
    """Its first layer on one device, the rest of the body on another, the head on a third."""

    model = copy.deepcopy(model)
    head = model.get_output_embeddings()

    def place(name: str) -> str:
        if model.get_submodule(name) is head:
            return "cuda:2"
        later = name.startswith(("gpt_neox.layers.1", "gpt_neox.final_layer_norm"))
        return "cuda:1" if later else "cuda:0"

    placed(model, place)
    for part in (model.gpt_neox.layers[1], model.gpt_neox.final_layer_norm):
        lies_on(part, "cuda:1")
    lies_on(head, "cuda:2")
    lies_on(model, "cuda:0", back="cuda:0")
    return model


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2", "cohere"])
@pytest.mark.parametrize("settings", [SETTINGS, LENS], ids=["plain", "lens"])
def test_the_numbers_are_those_of_a_processor(architecture, settings, tokens):
    model = made(architecture)
    base = score_model(model, tokens, settings)
    with pretended_cuda():
        result = score_model(on_cuda(model), tokens, settings)
    assert result.provenance["device"] == "cuda:0"
    assert result.provenance["head"] == "tiled"
    np.testing.assert_allclose(result.log_likelihoods, base.log_likelihoods, atol=1e-4, rtol=0)
    if settings.layers:
        np.testing.assert_allclose(
            result.layer_log_likelihoods, base.layer_log_likelihoods, atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("settings", [SETTINGS, LENS], ids=["plain", "lens"])
def test_a_model_over_three_devices_is_proved_and_scored(settings, tokens):
    model = made()
    base = score_model(model, tokens, settings)
    with pretended_cuda():
        result = score_model(on_three(model), tokens, settings)
    assert result.provenance["head"] == "tiled"
    np.testing.assert_allclose(result.log_likelihoods, base.log_likelihoods, atol=1e-4, rtol=0)
    if settings.layers:
        np.testing.assert_allclose(
            result.layer_log_likelihoods, base.layer_log_likelihoods, atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("lay", [on_cuda, on_three])
def test_exact_divergences_are_those_of_a_processor(lay, tokens, tmp_path):
    first, second = made(), made(seed=1)

    def compared(one, other):
        states = keep_head_states(one, tokens, SETTINGS, tmp_path, precision="float32")
        return compare_with_states(states, other, tokens, SETTINGS, precision="float32")

    base, base_layers = (
        compared(first, second),
        compare_layers(first, tokens, SETTINGS, precision="float32"),
    )
    with pretended_cuda():
        found = compared(lay(first), lay(second))
        layers = compare_layers(lay(first), tokens, SETTINGS, precision="float32")
    for name in ("forward", "reverse", "js", "first", "second"):
        np.testing.assert_allclose(getattr(found, name), getattr(base, name), atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(found.agree, base.agree)
    assert [one.token for one in found.most] == [one.token for one in base.most]
    np.testing.assert_allclose(layers.forward, base_layers.forward, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("settings", [SETTINGS, LENS], ids=["plain", "lens"])
def test_a_batch_is_waited_for_once(settings):
    """Beside what the model's own forward pass asks (transformers looks at its mask)."""
    waits, forwards = [], []
    own = Tail._call
    for count in (6, 12, 24):
        tokens, calls = some_tokens(count), []

        def counted(self, ids, cache=None, calls=calls):
            calls.append(ids.shape)
            return own(self, ids, cache)

        with pytest.MonkeyPatch.context() as patch, pretended_cuda() as seen:
            patch.setattr(Tail, "_call", counted)
            score_model(on_cuda(made()), tokens, settings)
            waits.append(sum(seen.values()))
            forwards.append(len(calls))
    model = on_cuda(made())
    with pretended_cuda() as seen, evaluating(model):
        Tail(model).forward(torch.zeros(2, 20, dtype=torch.long, device="cuda:0"))
        of_the_model = sum(seen.values())
    replays = 2 if settings.layers else 1  # a batch goes through the body and once through the tail
    for before in (0, 1):
        more = forwards[before + 1] - forwards[before]
        batches = more // replays
        assert batches >= 2
        assert waits[before + 1] - waits[before] <= more * of_the_model + batches


def with_a_float64_head(model, tokens, after=lambda logits, row: logits):
    """Log-likelihoods by the model's own body, one text at a time, and a head in float64."""
    sums = []
    weight = model.get_output_embeddings().weight.cpu().double()
    with evaluating(model):
        for ids in tokens.ids:
            row = torch.tensor(ids)[None]
            hidden = model.gpt_neox(row.to("cuda:0"), use_cache=False).last_hidden_state
            scores = after(hidden.cpu().double() @ weight.T, row).log_softmax(-1)
            sums.append(float(scores[0, :-1].gather(1, row[0, 1:, None]).sum()))
    return np.array(sums)


@pytest.mark.parametrize(("kind", "path"), [(BentEnd, "replayed"), (MixedEnd, "whole")])
def test_logits_of_an_own_end_are_not_rounded(kind, path, tokens, monkeypatch):
    def after(logits, row):
        if kind is BentEnd:
            return logits + 2 * torch.sin(logits)
        return logits + 3 * torch.cos(torch.arange(400.0) + row[..., None])

    one_by_one = ScoringSettings(batch_tokens=1)
    model = made().to(torch.bfloat16)
    model.__class__ = kind
    with pretended_cuda():
        placed(model, lambda name: "cuda:0")
        if kind is MixedEnd:  # its end makes numbers where the model's tokens are
            monkeypatch.setattr(torch, "arange", partial(torch.arange, device="cuda:0"))
        result = score_model(model, tokens, one_by_one)
        monkeypatch.setattr(prove, "rounds_its_logits", lambda head: False)
        rounded = score_model(model, tokens, one_by_one)
        monkeypatch.undo()
        expected = with_a_float64_head(model, tokens, after)
    for one, said in ((result, "float32"), (rounded, "as the model rounds them")):
        assert one.provenance["head"] == path
        assert one.provenance["head_products"] == said
    worst = np.abs(result.log_likelihoods - expected).max()
    assert worst < 2e-3
    assert np.abs(rounded.log_likelihoods - expected).max() > 20 * worst


def test_half_products_that_are_rounded_are_made_in_float32_and_it_is_said(tokens):
    model = made().to(torch.bfloat16)
    with pretended_cuda():
        placed(model, lambda name: "cuda:0")
        result = score_model(model, tokens, ScoringSettings(batch_tokens=1))
        expected = with_a_float64_head(model, tokens)
    assert result.provenance["head_products"] == "float32, copied from bfloat16"
    assert str(result.provenance["head_kernel"]).startswith("plain")
    np.testing.assert_allclose(result.log_likelihoods, expected, atol=1e-3, rtol=0)


def test_a_float32_head_is_not_said_to_round(tokens):
    model = made()
    model.__class__ = BentEnd
    with pretended_cuda():
        placed(model, lambda name: "cuda:0")
        result = score_model(model, tokens, ScoringSettings(batch_tokens=60))
    assert result.provenance["head"] == "replayed"
    assert result.provenance["head_products"] == "float32"


def test_how_the_head_was_computed_is_said_of_the_many_and_not_of_one_that_overflowed(
    tokens, monkeypatch
):
    own, widened = Scorer.of_batch, []

    def of_batch(self, batch):
        found = own(self, batch)
        if widened:
            return found
        sums = found.sums()
        sums[:, batch.pieces == 0] = np.inf
        return sums

    def float32(scorer, texts):  # a parameter that is pretended cannot be cast in place
        widened.append(list(texts))
        scorer.model = placed(made(), lambda name: "cuda:0")
        scorer.find_path()

    monkeypatch.setattr(Scorer, "of_batch", of_batch)
    monkeypatch.setattr(overflow, "turn_to_float32", float32)
    with pretended_cuda():
        half = placed(made().to(torch.float16), lambda name: "cuda:0")
        result = score_model(half, tokens, SETTINGS, precision="float16")
    assert widened == [[0]]
    assert result.provenance["head_products"] == "float32, copied from float16"


@pytest.mark.parametrize("kind", ["mps", "meta"])
def test_only_what_is_pinned_is_copied_while_others_go_on(kind, monkeypatch):
    """The source of any other copy is freed before it is read."""
    asked, to = [], torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, **how: asked.append(how) or to(self, "meta")
    )
    to_device([np.arange(3), np.arange(4)], torch.device(kind))
    assert asked == [{"non_blocking": False}]


def test_what_overflows_at_once_goes_through_in_float32_alone(tokens, monkeypatch):
    model = made()
    with torch.no_grad():
        model.gpt_neox.embed_in.weight.mul_(1e4)
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_4h_to_h.bias.fill_(1e5)
    base = score_model(model, tokens, SETTINGS)
    read, own = [], Scorer.of_batch

    def of_batch(self, batch):
        read.append((str(self.model.dtype), len(batch.pieces)))
        return own(self, batch)

    def widened(scorer, texts):  # a parameter that is pretended cannot be cast in place
        scorer.model = on_cuda(model)
        scorer.find_path()

    monkeypatch.setattr(Scorer, "of_batch", of_batch)
    monkeypatch.setattr(score_texts, "turn_to_float32", widened)
    with pretended_cuda():
        half = placed(copy.deepcopy(model).half(), lambda name: "cuda:0")
        result = score_model(half, tokens, SETTINGS, precision="float16")
    assert {dtype for dtype, _ in read} == {"torch.float32"}
    assert sum(count for _, count in read) == len(tokens)
    assert result.provenance["retried"] == len(tokens)
    assert result.provenance["dtype"] == "float16"
    np.testing.assert_allclose(result.log_likelihoods, base.log_likelihoods, atol=1e-3, rtol=0)


def test_what_is_sent_to_cuda_is_pinned_and_what_is_there_is_not(monkeypatch):
    """Pinning what lies on an accelerator already is an error."""
    asked, pinned = [], []
    monkeypatch.setattr(copies, "_pins", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, _, **how: asked.append(how) or self)
    here, there = torch.ones(3), torch.ones(3, device="meta")
    copies.sent(here, torch.device("cuda"))
    copies.sent(there, torch.device("cuda"))
    assert len(pinned) == 1
    assert pinned[0] is here
    assert asked == [{"non_blocking": True}, {"non_blocking": False}]
