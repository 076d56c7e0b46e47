"""Exact divergences: equal to a double sum in float64, for heads of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.exact.compare_with_states import _Compare, compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.exact.token_divergences import TokenDivergences
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts, tokenize
from tests.scoring import architectures

SETTINGS = ScoringSettings(device="cpu", batch_tokens=100)
ARCHITECTURES = ["gpt_neox", "llama", "gpt2", "gemma2", "cohere", "opt"]


def load(path: Path) -> object:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def exact(
    first: Path, second: Path, tokens: TokenizedTexts, folder: Path, **other: TokenizedTexts
) -> TokenDivergences:
    states = keep_head_states(load(first), tokens, SETTINGS, folder, precision="float32")
    again = other.get("others", tokens)
    return compare_with_states(states, load(second), again, SETTINGS, precision="float32")


def double_sums(first: Path, second: Path, tokens: TokenizedTexts) -> dict[str, np.ndarray]:
    """The same by the models' own logits in float64, each text by itself."""
    found: dict[str, list[np.ndarray]] = {}
    a, b = (AutoModelForCausalLM.from_pretrained(p).eval().double() for p in (first, second))
    for ids in tokens.ids:
        row = torch.tensor(ids)[None]
        with torch.no_grad():
            p, q = (m(row, use_cache=False).logits[0, :-1].log_softmax(-1) for m in (a, b))
        p, q = p[tokens.first - 1 :].numpy(), q[tokens.first - 1 :].numpy()
        mean = np.logaddexp(p, q) - np.log(2)
        target = ids[tokens.first :]
        at = np.arange(len(target))
        values = {
            "forward": (np.exp(p) * (p - q)).sum(1),
            "reverse": (np.exp(q) * (q - p)).sum(1),
            "js": (np.exp(p) * (p - mean) + np.exp(q) * (q - mean)).sum(1) / 2,
            "first": p[at, target],
            "second": q[at, target],
            "agree": p.argmax(1) == q.argmax(1),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.concatenate(parts) for name, parts in found.items()}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_divergences_are_those_of_a_double_sum_in_float64(name, tmp_path, texts):
    first = architectures.make(tmp_path / "a", name, 1)
    second = architectures.make(tmp_path / "b", name, 2)
    tokens = tokenize(first, texts, SETTINGS)
    found = exact(first, second, tokens, tmp_path)
    right = double_sums(first, second, tokens)
    assert right["forward"].mean() > 1e-3
    assert not right["agree"].all()
    for name in ("forward", "reverse", "js"):
        sums = found.by_text(getattr(found, name))
        np.testing.assert_allclose(sums.sum(), right[name].sum(), rtol=1e-6)
        np.testing.assert_allclose(sums, found.by_text(right[name]), rtol=2e-5)
    for name in ("first", "second"):
        np.testing.assert_allclose(getattr(found, name), right[name], atol=1e-4)
    assert np.array_equal(found.agree, right["agree"])


def test_a_model_does_not_differ_from_itself(tiny_model, tmp_path, texts):
    tokens = tokenize(tiny_model, texts, SETTINGS)
    found = exact(tiny_model, tiny_model, tokens, tmp_path)
    for values in (found.forward, found.reverse, found.js):
        assert not values.any()
    assert found.agree.all()


def test_near_models_lose_nothing_to_cancellation(tmp_path, texts):
    first = architectures.make(tmp_path / "a", "llama", 1)
    model = load(first)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1e-4 * parameter.abs().mean() * torch.randn_like(parameter)
    model.save_pretrained(tmp_path / "b")
    tokens = tokenize(first, texts, SETTINGS)
    found, right = (
        f(first, tmp_path / "b", tokens)
        for f in (lambda a, b, t: exact(a, b, t, tmp_path), double_sums)
    )
    assert right["forward"].mean() < 1e-5
    for name in ("forward", "reverse", "js"):
        np.testing.assert_allclose(getattr(found, name).sum(), right[name].sum(), rtol=2e-3)
        assert (getattr(found, name) > -1e-12).all()


def test_the_tokens_that_carry_most_are_told_with_what_both_expected(tmp_path, texts):
    first = architectures.make(tmp_path / "a", "llama", 1)
    second = architectures.make(tmp_path / "b", "llama", 2)
    tokens = tokenize(first, texts, SETTINGS)
    found = exact(first, second, tokens, tmp_path)
    order = np.sort(found.forward)[::-1]
    assert [one.forward for one in found.most] == pytest.approx(order[: len(found.most)])
    top = found.most[0]
    ids = tokens.ids[top.text]
    assert top.token == ids[tokens.first + top.position]
    assert top.context[-1] == ids[tokens.first + top.position - 1]
    row = torch.tensor(ids)[None]
    for path, told in ((first, top.first), (second, top.second)):
        with torch.no_grad():
            logits = load(path)(row).logits[0, tokens.first + top.position - 1]
        shares, best = logits.double().softmax(-1).topk(3)
        assert [token for token, _ in told] == best.tolist()
        assert [share for _, share in told] == pytest.approx(shares.tolist(), rel=1e-4)


def test_a_batch_is_waited_for_twice_however_many_tokens_are_told(tmp_path, texts, monkeypatch):
    """Each copy to the processor waits for an accelerator: divergences, and inputs to be told."""
    copies, batches = {}, []
    cpu, of_batch = torch.Tensor.cpu, _Compare.of_batch

    def counted(self, batch):
        batches.append(batch)
        monkeypatch.setattr(torch.Tensor, "cpu", lambda t: cpu(copies.setdefault(id(t), t)))
        try:
            return of_batch(self, batch)
        finally:
            monkeypatch.setattr(torch.Tensor, "cpu", cpu)

    monkeypatch.setattr(_Compare, "of_batch", counted)
    first = architectures.make(tmp_path / "a", "llama", 1)
    second = architectures.make(tmp_path / "b", "llama", 2)
    exact(first, second, tokenize(first, texts, SETTINGS), tmp_path)
    assert len(batches) > 2
    assert len(copies) == 2 * len(batches)


def test_a_head_that_is_padded_is_compared_over_what_both_have(tmp_path, texts):
    first = architectures.make(tmp_path / "a", "llama", 1)
    padded = load(first)
    padded.resize_token_embeddings(448, mean_resizing=False)
    with torch.no_grad():
        padded.get_output_embeddings().weight[400:] = -50.0
    padded.save_pretrained(tmp_path / "b")
    tokens = tokenize(first, texts, SETTINGS)
    for a, b in ((first, tmp_path / "b"), (tmp_path / "b", first)):
        found = exact(a, b, tokens, tmp_path)
        assert found.vocabulary == 400
        assert not found.forward.any()


def test_texts_that_are_read_differently_are_refused(tmp_path, tiny_model, texts):
    tokens = tokenize(tiny_model, texts, SETTINGS)
    cut = tokens.within(8, "truncate")
    with pytest.raises(InputError, match="read text 0 differently"):
        exact(tiny_model, tiny_model, tokens, tmp_path, others=cut)
