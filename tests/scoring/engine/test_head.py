"""The tiled head: log-likelihoods like a full log-softmax, for logits of any size."""

from __future__ import annotations

import pytest
import torch

from mlflow_modelmap.scoring.engine import head
from mlflow_modelmap.scoring.engine.head import TiledHead, softmax_log_likelihoods


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(70, 16, generator=generator)
    weight = torch.randn(1500, 16, generator=generator)
    bias = torch.randn(1500, generator=generator)
    targets = torch.randint(1500, (70,), generator=generator)
    return hidden, weight, bias, targets


def full(hidden, weight, bias, targets, after=lambda logits: logits):
    logits = after(hidden.double() @ weight.double().T + bias.double())
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize(
    ("size", "shift"), [(1, 0), (30, 0), (1, 300), (1, -300), (40, 1e4), (1e-3, -1e4)]
)
def test_it_is_the_full_log_softmax(size, shift, rows, monkeypatch):
    monkeypatch.setattr(head, "CPU_ROWS", 32)
    hidden, weight, bias, targets = rows
    weight, bias = weight * size, bias + shift
    tiled = TiledHead(weight, bias)
    expected = full(hidden, weight, bias, targets)
    tolerance = 1e-5 * max(1.0, size * 16, abs(shift))
    for _ in range(2):  # The second time it knows that these logits are far from 0.
        got = tiled.log_likelihoods(hidden, targets)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, expected, atol=tolerance, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({"scale": 0.0625}, lambda z: z * 0.0625),
        ({"cap": 5.0}, lambda z: 5 * torch.tanh(z / 5)),
    ],
    ids=["scale", "cap"],
)
def test_scales_and_caps_come_after_the_product(options, after, rows):
    hidden, weight, bias, targets = rows
    got = TiledHead(weight, bias, **options).log_likelihoods(hidden, targets)
    torch.testing.assert_close(got, full(*rows, after), atol=1e-5, rtol=0)


def test_without_a_bias_and_in_half_precision(rows):
    hidden, weight, _, targets = rows
    half = weight.bfloat16()
    got = TiledHead(half).log_likelihoods(hidden.bfloat16(), targets)
    zeros = torch.zeros(len(weight))
    expected = full(hidden.bfloat16(), half, zeros, targets)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_only_what_is_bfloat16_already_may_be_multiplied_in_it(rows, monkeypatch):
    """Then nothing is rounded; PyTorch uses the permission where the processor has it."""
    hidden, weight, _, targets = rows
    asked, product = [], torch.mm
    monkeypatch.setattr(head, "by_onednn", lambda: False)

    def watched(*factors, **how):
        asked.append(allows_bfloat16())
        return product(*factors, **how)

    monkeypatch.setattr(torch, "mm", watched)
    half, before = torch.bfloat16, allows_bfloat16()
    for of_hidden, of_weight in ((half, half), (torch.float32, half), (half, torch.float32)):
        asked.clear()
        got = TiledHead(weight.to(of_weight)).log_likelihoods(hidden.to(of_hidden), targets)
        factors = hidden.to(of_hidden), weight.to(of_weight), torch.zeros(len(weight)), targets
        torch.testing.assert_close(got, full(*factors), atol=2e-5, rtol=0)
        assert set(asked) == {of_hidden == of_weight == half or before}
    assert allows_bfloat16() == before


def allows_bfloat16() -> bool:
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision == "bf16"
    return torch.get_float32_matmul_precision() == "medium"


def test_a_few_rows_out_of_range_do_not_slow_the_others(rows):
    hidden, weight, bias, targets = rows
    hidden = hidden.clone()
    hidden[3] *= 100
    tiled = TiledHead(weight, bias)
    got = tiled.log_likelihoods(hidden, targets)
    torch.testing.assert_close(got, full(hidden, weight, bias, targets), atol=1e-3, rtol=1e-6)
    assert not tiled._shifted


def test_what_needs_its_largest_logit_off_slows_nothing_after_it(rows, monkeypatch):
    """Early layers of a lens have large logits, and all layers go through one head."""
    hidden, weight, bias, targets = rows
    tiled, products, product = TiledHead(weight, bias), [], torch.mm

    def counted(*factors, **how):
        products.append(1)
        return product(*factors, **how)

    monkeypatch.setattr(torch, "mm", counted)
    took = []
    for size in (1, 60, 60, 1, 1):
        products.clear()
        got = tiled.log_likelihoods(hidden * size, targets)
        torch.testing.assert_close(
            got, full(hidden * size, weight, bias, targets), atol=1e-2, rtol=1e-6
        )
        took.append(len(products))
    tiles = -(-len(weight) // head.CPU_TILE)
    assert took == [tiles, 3 * tiles, 2 * tiles, 2 * tiles, tiles]


def test_full_logits_in_half_precision_are_read_in_float32(rows):
    hidden, weight, bias, targets = rows
    logits = (hidden @ weight.T + bias).bfloat16()
    expected = logits.double().log_softmax(-1).gather(1, targets[:, None])[:, 0]
    got = softmax_log_likelihoods(logits, targets)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
