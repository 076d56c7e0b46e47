"""Products are float32 whatever the process has set, and it is as before afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mlflow_modelmap.scoring.accelerator import products
from mlflow_modelmap.scoring.accelerator.products import (
    exact_products,
    gives_float32,
    product_into,
    products_in_force,
)

MATMUL = torch.backends.cuda.matmul
NEW = hasattr(MATMUL, "fp32_precision")
ON_CPU = getattr(torch.backends.mkldnn, "matmul", None)
HALVES = ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction")


def readable():
    try:
        return isinstance(MATMUL.allow_tf32, bool)
    except RuntimeError:
        return False


def state():
    found = {name: getattr(MATMUL, name) for name in HALVES}
    found["attention"] = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    found["older"] = torch.get_float32_matmul_precision() if readable() else "not to be read"
    found["on CPU"] = getattr(ON_CPU, "fp32_precision", None)
    found["convolutions"] = torch.backends.cudnn.allow_tf32
    for name in ("fp32_precision", "allow_fp16_accumulation", f"{HALVES[0]}_split_k"):
        if hasattr(MATMUL, name):
            found[name] = getattr(MATMUL, name)
    return found


@pytest.fixture(params=["as it comes", "high", "medium", "tf32", "sums"])
def process(request):
    """A process that allows something, and is put back after the test."""
    kept = torch.get_float32_matmul_precision()
    before = state()
    if request.param in ("high", "medium"):  # the older way, not to be mixed with the newer
        torch.set_float32_matmul_precision(request.param)
    elif request.param == "tf32":
        if not NEW:
            pytest.skip("this torch has no fp32_precision")
        MATMUL.fp32_precision = "tf32"
    elif request.param == "sums":
        setattr(MATMUL, HALVES[0], (False, False) if f"{HALVES[0]}_split_k" in before else False)
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    yield request.param
    torch.set_float32_matmul_precision(kept)
    if NEW:
        MATMUL.fp32_precision = before["fp32_precision"]
    setattr(MATMUL, HALVES[0], True)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before["attention"])


def test_permissions_are_taken_back_for_a_while(process):
    before = state()
    if process in ("high", "medium", "tf32"):
        assert products_in_force("cuda")["tf32"] is True
    assert products_in_force("cuda")["reduced_precision_sums"] is True  # PyTorch's own default
    seen = []

    def broken():
        with exact_products("cuda"):
            seen.extend((products_in_force("cuda"), state()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    told, inside = seen
    assert told == {"tf32": False, "reduced_precision_sums": False}
    assert not inside["attention"]
    assert inside["convolutions"] is False
    assert inside["older"] == "highest"  # whoever reads it meets no error
    assert inside.get(f"{HALVES[0]}_split_k") == before.get(f"{HALVES[0]}_split_k")
    assert state() == before


WHERE = ["", "cudnn.", "cudnn.conv.", "cuda.matmul."]


@pytest.mark.skipif(not NEW, reason="this torch has no fp32_precision")
@pytest.mark.parametrize("where", WHERE)
def test_what_is_inherited_is_taken_back_too_and_inherited_again(where):
    """In a process of its own: some of these switches cannot be put back."""
    code = f"""
import torch
from mlflow_modelmap.scoring.accelerator.products import exact_products, products_in_force
b = torch.backends
b.{where}fp32_precision = "tf32"
before = b.cudnn.conv.fp32_precision, b.cuda.matmul.fp32_precision, b.cudnn.allow_tf32
assert products_in_force("cuda")["tf32"]
with exact_products("cuda"):
    assert b.cudnn.conv.fp32_precision != "tf32" != b.cuda.matmul.fp32_precision
    assert not products_in_force("cuda")["tf32"]
after = b.cudnn.conv.fp32_precision, b.cuda.matmul.fp32_precision, b.cudnn.allow_tf32
assert after == before, (before, after)
b.{where}fp32_precision = "ieee"
owner = b.cuda.matmul if "cuda." in "{where}" else b.cudnn.conv
assert owner.fp32_precision == "ieee", "what the process sets later holds"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_oldest_switch_is_put_back_too():
    MATMUL.allow_tf32 = True
    try:
        before = state()
        with exact_products("cuda"):
            assert products_in_force("cuda")["tf32"] is False
        assert state() == before
    finally:
        MATMUL.allow_tf32 = False


def test_on_a_processor_nothing_is_touched(process):
    before = state()
    with exact_products("cpu"):
        assert state() == before
        assert products_in_force("mps") == {}
        assert set(products_in_force("cpu")) == {"product_library"}


@pytest.fixture
def factors():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 64, generator=generator), torch.randn(9000, 64, generator=generator)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("room", [False, True])
def test_a_product_is_float32_where_none_of_halves_gives_it(dtype, room, factors):
    left, right = (factor.to(dtype) for factor in factors)
    out = torch.empty(5, 9000)
    product_into(left, right, out, torch.empty(right.numel()) if room else None)
    expected = left.double() @ right.double().T
    assert (out - expected).abs().max() < 2e-5


@pytest.fixture
def asked_again():
    products._gives_float32.cache_clear()
    yield
    products._gives_float32.cache_clear()


@pytest.mark.parametrize(
    ("product", "gives"),
    [
        (lambda left, right, out: out.copy_(left.float() @ right.float().T), True),
        (lambda left, right, out: out.copy_(left @ right.T), False),  # rounded: the silent fault
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_a_device_makes_of_halves_is_found_once(
    product, gives, dtype, factors, asked_again, monkeypatch
):
    asked = []

    def counted(left, right, out):
        asked.append(out.shape)
        product(left, right, out)

    monkeypatch.setattr(products, "_product_of_halves", counted)
    device = torch.device("cpu")
    assert [gives_float32(device, dtype) for _ in range(3)] == [gives] * 3
    assert len(asked) == 1
    left, right = (factor.to(dtype) for factor in factors)
    out = product_into(left, right, torch.empty(5, 9000))
    assert (out - left.double() @ right.double().T).abs().max() < 2e-5
    assert len(asked) == (2 if gives else 1)


def test_memory_that_runs_out_is_no_answer(asked_again, monkeypatch):
    def full(left, right, out):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(products, "_product_of_halves", full)
    with pytest.raises(torch.OutOfMemoryError):
        gives_float32(torch.device("cpu"), torch.bfloat16)
