"""Rows of a head on an accelerator: like a full log-softmax in float64, for logits of any size."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from mlflow_modelmap.scoring.accelerator import one_read
from mlflow_modelmap.scoring.accelerator.copies import Late, LateReader
from mlflow_modelmap.scoring.accelerator.one_read import HeadRows, kernels_for, kernels_said

ENDS = [
    {},
    {"bias": True},
    {"bias": True, "scale": 0.25},
    {"cap": 5.0},
    {"bias": True, "cap": 30.0},
]


def drawn(rows=9, vocabulary=9001, width=24, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=generator).to(dtype)
    weight = torch.randn(vocabulary, width, generator=generator).to(dtype)
    bias = torch.randn(vocabulary, generator=generator).to(dtype)
    # The ends of tiles and of the vocabulary are among the targets.
    targets = torch.tensor([0, 1, 8191, 8192, 8193, 9000, 17, 4095, 4096])[:rows]
    return hidden, weight, bias, targets


def in_float64(hidden, weight, targets, bias=None, scale=None, cap=None):
    logits = hidden.double() @ weight.double().T
    if bias is not None:
        logits = logits + bias.double()
    if scale is not None:
        logits = logits * scale
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    return logits.log_softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)


@pytest.mark.parametrize("end", ENDS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_plain_way_is_a_log_softmax(end, dtype, monkeypatch):
    monkeypatch.setattr(one_read, "ROWS", 4)
    hidden, weight, bias, targets = drawn(dtype=dtype)
    end = {**end, "bias": bias} if end.get("bias") else end
    found = HeadRows(weight, **end).log_likelihoods(hidden, targets)
    assert found.dtype == torch.float64
    expected = in_float64(hidden, weight, targets, **end)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("offset", [-3e4, -200.0, 200.0, 3e4])
def test_logits_may_be_of_any_size(offset):
    hidden, weight, bias, targets = drawn()
    bias = bias + offset
    found = HeadRows(weight, bias).log_likelihoods(hidden, targets)
    expected = in_float64(hidden, weight, targets, bias)
    torch.testing.assert_close(found, expected, atol=1e-5 + abs(offset) * 2e-7, rtol=0)


def test_a_token_that_is_ruled_out_is_no_trouble_and_what_overflows_is_not_finite():
    hidden, weight, bias, targets = drawn()
    bias[100:300] = -torch.inf
    found = HeadRows(weight, bias).log_likelihoods(hidden, targets)
    torch.testing.assert_close(found, in_float64(hidden, weight, targets, bias), atol=1e-5, rtol=0)
    hidden[3, 0] = torch.nan
    hidden[:, 1].abs_()
    weight[8500, 1] = torch.inf
    found = HeadRows(weight).log_likelihoods(hidden, targets)
    assert not torch.isfinite(found).any()


def test_buffers_are_used_again_and_can_be_let_go():
    hidden, weight, _, targets = drawn(dtype=torch.bfloat16)
    head = HeadRows(weight)
    with torch.inference_mode():
        first = head.log_likelihoods(hidden, targets)
    places = {name: buffer.data_ptr() for name, buffer in head._buffers.items()}
    assert set(places) == {"logits", "weight"}
    with torch.no_grad():  # as beside a training: the same buffers, written by another kind of pass
        again = head.log_likelihoods(hidden, targets)
    assert torch.equal(first, again)
    assert places == {name: buffer.data_ptr() for name, buffer in head._buffers.items()}
    head.let_go()
    assert not head._buffers


def test_without_triton_the_plain_way_is_taken_and_why_is_said(monkeypatch):
    one_read._tried.cache_clear()
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "mlflow_modelmap.scoring.accelerator.kernels", raising=False)
    monkeypatch.delattr("mlflow_modelmap.scoring.accelerator.kernels", raising=False)
    device = torch.device("cuda:0")
    assert kernels_for(device) is None
    assert kernels_said(device).startswith("plain: ModuleNotFoundError")
    assert kernels_for(torch.device("cpu")) is None
    one_read._tried.cache_clear()


def test_values_are_read_one_batch_late():
    into = np.zeros((1, 4))
    reader = LateReader(into)
    owners = np.array([0, 0, 1])
    reader.take(np.array([2, 3]), Late(torch.tensor([[1.0, 2.0, 4.0]]), owners, 2))
    assert not into.any()
    reader.take(np.array([0]), np.array([[7.0]]))
    np.testing.assert_array_equal(into, [[7, 0, 3, 4]])
    reader.take(np.array([1]), Late(torch.tensor([[5.0]]), np.array([0]), 1))
    reader.finish()
    np.testing.assert_array_equal(into, [[7, 5, 3, 4]])
