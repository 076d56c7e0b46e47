"""Products by oneDNN are float32 products, and only of what oneDNN is right and fast at."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mlflow_modelmap.scoring.engine.head import TiledHead
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.processor import onednn
from mlflow_modelmap.scoring.processor.matmul import matmul_precision
from mlflow_modelmap.scoring.processor.onednn import (
    by_onednn,
    library,
    maker,
    product_into_rows,
    product_of_rows,
    products_by_onednn,
)
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of PyTorch has no oneDNN"
)
ROWS, INWARD, OUTWARD = 200, 160, 144


@pytest.fixture(autouse=True)
def better(monkeypatch):
    """Whoever made the processor of these tests, oneDNN is taken."""
    monkeypatch.setattr(onednn, "_is_better", lambda: True)


@pytest.fixture
def taken(monkeypatch):
    """The shapes of the products that oneDNN was given."""
    seen = []
    product = onednn._product

    def counted(rows, weight, bias):
        seen.append((rows.numel() // rows.shape[-1], rows.shape[-1]))
        return product(rows, weight, bias)

    monkeypatch.setattr(onednn, "_product", counted)
    return seen


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


X, W, B = drawn(ROWS, INWARD), drawn(OUTWARD, INWARD), drawn(OUTWARD)
EXPECTED = X.double() @ W.double().T
CALLS = {
    "linear": (lambda: functional.linear(X, W), 0),
    "linear with bias": (lambda: functional.linear(X, W, B), B),
    "linear by name": (lambda: functional.linear(input=X, weight=W, bias=B), B),
    "three dimensions": (lambda: functional.linear(X.view(4, 50, -1), W, B).view(ROWS, -1), B),
    "rows out of order": (lambda: functional.linear(X.T.contiguous().T, W), 0),
    "weight by columns": (lambda: functional.linear(X, W.T.contiguous().T), 0),
    "some rows of a weight": (lambda: functional.linear(X, torch.cat([W, W])[:OUTWARD]), 0),
    "addmm": (lambda: torch.addmm(B, X, W.T), B),
    "matmul": (lambda: torch.matmul(X, W.T), 0),
    "@": (lambda: X.view(4, 50, -1) @ W.T.contiguous(), 0),
    "mm": (lambda: X.mm(W.T), 0),
}


def test_onednn_is_right_here_whatever_the_process_draws_in():
    assert onednn._is_right()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # as transformers does while it loads
    try:
        with torch.device("meta"):
            assert onednn._is_right()
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", CALLS)
def test_products_are_those_of_float64(name, taken):
    call, bias = CALLS[name]
    with torch.no_grad(), products_by_onednn():
        got = call()
    expected = EXPECTED + bias
    assert taken == [(ROWS, INWARD)]
    assert got.dtype == torch.float32
    assert (got.reshape(expected.shape) - expected).abs().max() < 1e-4


class Other(torch.Tensor):
    """A tensor of some library's own kind."""


LEFT = {
    "small": lambda: functional.linear(X[:20], W),
    "columns of a larger weight": lambda: functional.linear(X, torch.cat([W, W], 1)[:, :INWARD]),
    "float64": lambda: functional.linear(X.double(), W.double()),
    "a narrow weight": lambda: functional.linear(torch.cat([X] * 30), W[:7]),
    "a bias out of order": lambda: functional.linear(X, W, drawn(OUTWARD, 2)[:, 0]),
    "one bias for all": lambda: functional.linear(X, W, drawn(1).expand(OUTWARD)),
    "a bias that is added to all": lambda: torch.addmm(drawn(1), X, W.T),
    "bfloat16": lambda: functional.linear(X.bfloat16(), W.bfloat16()),
    "another kind": lambda: functional.linear(X, W.as_subclass(Other)),
    "scaled addmm": lambda: torch.addmm(B, X, W.T, alpha=2),
    "addmm of a matrix": lambda: torch.addmm(drawn(ROWS, OUTWARD), X, W.T),
    "batches": lambda: torch.matmul(X.view(2, 100, -1), drawn(2, INWARD, OUTWARD)),
    "no product": lambda: torch.nn.functional.softmax(X, -1),
    "a vector": lambda: W @ X[0],
    "meta": lambda: functional.linear(X.to("meta"), W.to("meta")),
    "sparse": lambda: torch.matmul(X.to_sparse(), W.T),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_for_onednn_is_left_to_pytorch(name, taken):
    with torch.no_grad():
        expected = LEFT[name]()
        with products_by_onednn():
            got = LEFT[name]()
    assert taken == []
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if got.device.type != "meta":
        assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))


def test_gradients_are_left_to_pytorch(taken):
    weight = nn.Parameter(W.clone())
    with products_by_onednn():
        functional.linear(X, weight).sum().backward()
    assert taken == []
    assert torch.allclose(weight.grad, X.sum(0).expand_as(W), rtol=1e-4, atol=1e-4)


def test_autocast_is_left_to_pytorch(taken):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), products_by_onednn():
        assert functional.linear(X, W).dtype == torch.bfloat16
    assert taken == []


def test_nothing_is_taken_where_onednn_is_off_or_factors_may_be_rounded(taken):
    with torch.no_grad(), products_by_onednn():
        assert by_onednn()
        assert library() == "oneDNN"
        with torch.backends.mkldnn.flags(enabled=False):
            functional.linear(X, W)
            assert library() in ("MKL", "PyTorch")
        with matmul_precision("bfloat16"):
            assert not by_onednn()
            functional.linear(X, W)
    assert taken == []


def test_outside_nothing_is_taken(taken):
    with torch.no_grad():
        with products_by_onednn():
            pass
        functional.linear(X, W)
    assert taken == []


def test_factors_that_do_not_fit_are_told_by_pytorch(taken):
    with torch.no_grad(), products_by_onednn(), pytest.raises(RuntimeError, match="multiplied"):
        functional.linear(torch.cat([X, X]), W[:, :80].contiguous())
    with torch.no_grad(), products_by_onednn(), pytest.raises(RuntimeError, match=r"2-D|matri"):
        torch.mm(X.view(4, 50, -1), W.T)
    assert taken == []


def test_an_error_inside_leaves_nothing_behind(taken):
    with torch.no_grad():
        with pytest.raises(ValueError, match="stopped"), products_by_onednn():
            raise ValueError("stopped")
        functional.linear(X, W)
    assert taken == []


def test_other_threads_are_left_to_pytorch(taken):
    with torch.no_grad(), products_by_onednn(), ThreadPoolExecutor(1) as pool:

        def beside():
            with torch.no_grad():
                return functional.linear(X, W)

        pool.submit(beside).result()
    assert taken == []


def test_a_compiled_model_stays_as_it_was_compiled(taken):
    """Nothing of this is traced into it: `fullgraph` would raise at what cannot be."""
    compiled = torch.compile(
        lambda rows, weight: functional.linear(rows, weight).relu(), backend="eager", fullgraph=True
    )
    weight = nn.Parameter(W.clone())
    with torch.no_grad(), products_by_onednn():
        got = compiled(X, weight)
    assert (got - EXPECTED.relu()).abs().max() < 1e-4


def test_products_into_rows_of_a_larger_vocabulary(monkeypatch, taken):
    monkeypatch.setattr(onednn, "COLUMNS", 100)
    monkeypatch.setattr(onednn, "LEAST_WORK", 1)
    out = torch.empty(ROWS, OUTWARD)
    with torch.no_grad():
        product_into_rows(X, W, out)
    assert len(taken) == 2
    assert (out - EXPECTED).abs().max() < 1e-4


def test_small_products_go_where_they_are_asked_to():
    out = torch.empty(3, OUTWARD)
    with torch.no_grad():
        assert product_of_rows(X[:3], W, out) is out
    assert (out - EXPECTED[:3]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("by", "better"), [("AuthenticAMD", True), ("GenuineIntel", False), ("", False)]
)
def test_onednn_is_better_on_processors_of_one_maker(monkeypatch, by, better):
    monkeypatch.undo()
    monkeypatch.setattr(onednn, "maker", lambda: by)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert onednn._is_better.__wrapped__() is better
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert not onednn._is_better.__wrapped__()


def test_a_product_that_is_wrong_or_not_there_is_not_taken(monkeypatch):
    monkeypatch.setattr(onednn, "_product", lambda rows, weight, bias: rows[:, :144] * 0)
    assert not onednn._is_right()

    def missing(*args):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(onednn, "_product", missing)
    assert not onednn._is_right()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_a_head_gives_the_same_log_likelihoods(monkeypatch, taken, dtype, bias):
    monkeypatch.setattr(onednn, "LEAST_WORK", 1)
    weight, hidden = (drawn(1100, 64) / 4).to(dtype), drawn(90, 64).to(dtype)
    added = drawn(1100).to(dtype) if bias else None
    targets = torch.arange(90) * 12
    with torch.no_grad():
        got = TiledHead(weight, added).log_likelihoods(hidden, targets)
    logits = hidden.double() @ weight.double().T + (0 if added is None else added.double())
    expected = torch.log_softmax(logits, -1).gather(1, targets[:, None])[:, 0]
    assert len(taken) == 3  # tiles of 512
    assert (got - expected).abs().max() < 2e-5


def models():
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    sizes = {"vocab_size": 300, "max_position_embeddings": 256, "num_hidden_layers": 2}
    sizes |= {"hidden_size": 64, "num_attention_heads": 4}
    yield LlamaConfig(**sizes, intermediate_size=96, num_key_value_heads=2)
    yield GPTNeoXConfig(**sizes, intermediate_size=128)
    yield GPT2Config(vocab_size=300, n_positions=256, n_layer=2, n_embd=64, n_head=4)


@pytest.mark.parametrize("config", models(), ids=lambda config: config.model_type)
def test_models_score_as_in_float64(monkeypatch, taken, config):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(onednn, "LEAST_WORK", 1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    rng = np.random.default_rng(0)
    ids = tuple(rng.integers(0, 300, length) for length in (200, 170, 90, 33))
    tokens = TokenizedTexts(
        ids, ids, np.full(4, 100), 1, False, (), text_digest="", bos="auto",
        split_special_tokens=False,
    )  # fmt: skip
    settings = ScoringSettings(device="cpu")
    live = score_model(model, tokens, settings)
    assert len(taken) > 20
    taken.clear()
    own = score_model(model, tokens, settings, precision="float32")
    assert len(taken) > 20
    assert own.provenance["product_library"] == "oneDNN"
    half = score_model(model, tokens, replace(settings, matmul="bfloat16"))
    assert half.provenance["product_library"] != "oneDNN"
    with torch.backends.mkldnn.flags(enabled=False):
        before = score_model(model, tokens, settings)
    assert before.provenance["product_library"] != "oneDNN"
    exact = score_model(model.double(), tokens, settings).log_likelihoods
    for found in (live, own, before):
        assert np.abs(found.log_likelihoods - exact).max() < 2e-4


@pytest.mark.parametrize("told", ["vendor_id\t: AuthenticAMD\nmodel\t: 2\n", "model: 7\n"])
def test_the_maker_is_what_the_system_says(monkeypatch, tmp_path, told):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n" + told)
    monkeypatch.setattr(onednn, "CPUINFO", str(tmp_path / "cpuinfo"))
    monkeypatch.setattr(platform, "processor", lambda: "x86_64")
    assert maker() == ("AuthenticAMD" if "Authentic" in told else "x86_64")


def test_the_maker_is_known_without_linux(monkeypatch, tmp_path):
    monkeypatch.setattr(onednn, "CPUINFO", str(tmp_path / "none"))
    said = "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    monkeypatch.setattr(platform, "processor", lambda: said)
    assert maker() == "AuthenticAMD"
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert maker() == ""
