"""Kernels against float64 in Triton's interpreter, and compiled; they were never run on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip(
    "triton",
    minversion="3.3",
    reason="CPU builds of PyTorch come without triton; PyTorch 2.6's interprets no maximum or sum",
)
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("TRITON_INTERPRET is not 1", allow_module_level=True)

from mlflow_modelmap.scoring.accelerator import kernels, one_read
from mlflow_modelmap.scoring.accelerator.one_read import HeadRows, disagreement
from mlflow_modelmap.scoring.exact.row_divergences import Workspace, row_divergences
from tests.scoring.accelerator.test_one_read import ENDS, drawn, in_float64

CPU = torch.device("cpu")
# numpy, in which the interpreter computes, warns of what -inf and NaN are made of.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("end", ENDS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_head_that_is_read_once_is_a_log_softmax(end, dtype):
    hidden, weight, bias, targets = drawn(dtype=dtype)
    end = {**end, "bias": bias} if end.get("bias") else end
    found = HeadRows(weight, **end).log_likelihoods(hidden, targets, kernels)
    expected = in_float64(hidden, weight, targets, **end)
    torch.testing.assert_close(found, expected, atol=4e-6, rtol=0)


@pytest.mark.parametrize("offset", [-3e4, 3e4])
def test_logits_may_be_of_any_size(offset):
    hidden, weight, bias, targets = drawn()
    found = HeadRows(weight, bias + offset).log_likelihoods(hidden, targets, kernels)
    expected = in_float64(hidden, weight, targets, bias + offset)
    torch.testing.assert_close(found, expected, atol=6e-3, rtol=0)


def test_what_overflows_is_not_finite_and_what_is_ruled_out_is_no_trouble():
    hidden, weight, bias, targets = drawn()
    bias[100:300] = -torch.inf
    found = HeadRows(weight, bias).log_likelihoods(hidden, targets, kernels)
    torch.testing.assert_close(found, in_float64(hidden, weight, targets, bias), atol=4e-6, rtol=0)
    hidden[3, 0] = torch.nan
    hidden[:, 1].abs_()
    weight[8500, 1] = torch.inf
    assert not torch.isfinite(HeadRows(weight).log_likelihoods(hidden, targets, kernels)).any()


@pytest.mark.parametrize("step", [30.0, 1.0, 1e-2, 1e-4])
def test_divergences_are_those_of_the_plain_way_and_of_float64(step, monkeypatch):
    hidden, weight, _, targets = drawn(rows=5, vocabulary=5003)
    generator = torch.Generator().manual_seed(2)
    other = hidden + step * torch.randn(hidden.shape, generator=generator)
    p, q, targets = hidden @ weight.T, other @ weight.T, targets[:5] % 5003
    plain = row_divergences(p, q, targets, Workspace())
    monkeypatch.setattr(
        "mlflow_modelmap.scoring.exact.row_divergences.kernels_for", lambda device: kernels
    )
    found = row_divergences(p, q, targets, Workspace())
    log_p, log_q = p.double().log_softmax(1), q.double().log_softmax(1)
    forward = (log_p.exp() * (log_p - log_q)).sum(1)
    mean = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0, dtype=torch.float64))
    js = (log_p.exp() * (log_p - mean) + log_q.exp() * (log_q - mean)).sum(1) / 2
    reverse = (log_q.exp() * (log_q - log_p)).sum(1)
    torch.testing.assert_close(found.forward, forward, atol=1e-12, rtol=1e-4)
    torch.testing.assert_close(found.reverse, reverse, atol=1e-12, rtol=1e-4)
    torch.testing.assert_close(found.js, js, atol=1e-11, rtol=1e-4)
    for name in ("first", "second"):
        torch.testing.assert_close(getattr(found, name), getattr(plain, name), atol=1e-6, rtol=0)
    assert torch.equal(found.agree, plain.agree)


def test_kernels_are_held_against_the_plain_way_before_they_are_used(monkeypatch):
    assert disagreement(kernels, CPU) < 1e-5
    one_read._tried.cache_clear()
    assert one_read._tried("cpu") == (kernels, "triton")
    one_read._tried.cache_clear()
    monkeypatch.setattr(one_read, "disagreement", lambda module, device: 0.3)
    assert one_read._tried("cpu") == (None, "plain: the kernel differs by 3.0e-01 nats")
    one_read._tried.cache_clear()


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mlflow_modelmap.scoring.accelerator import kernels

floats = {"logits": "*fp32", "width": "i32", "first": "i32", "bias": "*bf16", "targets": "*i64"}
floats |= {"largest_at": "*fp32", "total_at": "*fp64", "wanted_at": "*fp32"}
floats |= {"scale": "fp32", "cap": "fp32"}
made = {"p": "*fp32", "q": "*fp32", "width": "i32"}
made |= {f"{name}_at": "*fp64" for name in ("forward", "reverse", "js", "log_p", "log_q")}
made |= {"agree_at": "*i8", "ratio_most": "fp32"}
for kernel, signature, fixed in (
    (kernels.read_tile, floats, {"BIAS": True, "CAP": True, "BLOCK": 4096}),
    (kernels.divergences, made, {"BLOCK": 2048}),
):
    signature |= dict.fromkeys(fixed, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed)
    made_of = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 8})
    assert made_of.asm["cubin"]
print("compiled")
"""


def test_kernels_become_a_gpus_machine_code():
    """For compute capability 8.0, which needs no GPU; the interpreter is another process's."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "compiled", done.stderr
