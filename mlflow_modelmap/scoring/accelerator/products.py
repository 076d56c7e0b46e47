"""Scoring: float32 products on an accelerator - of half factors too - whatever the process set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.processor.onednn import library

_PROBE = (48, 96, 40)
"""Rows, inner width and columns of the product by which it is found how products are rounded."""
_ROUNDED = 1e-5
"""Relative error of a product that is not float32: float16 has 2e-4, bfloat16 2e-3."""

_NEWER = "fp32_precision"  # from torch 2.9; `none` where it is inherited
_COPIED = 8192
"""Entries of a head that are copied to float32 at a time."""


@contextmanager
def exact_products(device_type: str) -> Iterator[None]:
    """Inside, CUDA's float32 products are float32 and its sums are not of half precision.

    TF32, sums in half precision (split-K, attention by products) and float16 accumulation are
    permissions of the whole process; afterwards they are as they were.
    """
    if device_type != "cuda":
        yield
        return
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    attention = _sums_of_attention()
    kept: str | None = None
    try:
        if _allows_tf32(matmul, matmul):
            kept = _float32_matmul_precision()
            if kept in ("high", "medium"):  # set for all backends at once, and so put back
                of_cpu: Any = getattr(torch.backends.mkldnn, "matmul", None)
                if hasattr(of_cpu, "fp32_precision"):
                    undo.append((of_cpu, "fp32_precision", of_cpu.fp32_precision))
                torch.set_float32_matmul_precision("highest")
            else:
                kept = None
                put(matmul, *_no_tf32(matmul))
        conv = getattr(cudnn, "conv", None)
        if _allows_tf32(cudnn, conv):
            # Inherited from what holds for all of cuDNN or of the process, it is so again after.
            inherited = "tf32" in (getattr(b, _NEWER, None) for b in (torch.backends, cudnn))
            if inherited or not _readable(cudnn):
                put(conv, _NEWER, "ieee")
            else:
                put(cudnn, "allow_tf32", False)
        for half in ("bf16", "fp16"):
            name = f"allow_{half}_reduced_precision_reduction"
            split = getattr(matmul, f"{name}_split_k", None)
            before = getattr(matmul, name)
            undo.append((matmul, name, before if split is None else (before, split)))
            setattr(matmul, name, False if split is None else (False, split))
        if hasattr(matmul, "allow_fp16_accumulation"):
            put(matmul, "allow_fp16_accumulation", False)
        if attention:
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)
        yield
    finally:
        if attention:
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        if kept is not None:
            torch.set_float32_matmul_precision(kept)
        for owner, name, value in reversed(undo):
            _put_back(owner, name, value)


def _put_back(owner: Any, name: str, value: Any) -> None:
    """What was set before; what was inherited is so again, and follows what the process sets."""
    if name == _NEWER:
        setattr(owner, name, "none")
        if getattr(owner, name) == value:
            return
    setattr(owner, name, value)


def _float32_matmul_precision() -> str | None:
    """What the older switch says; None where the newer one was set and it cannot be read."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _readable(owner: Any) -> bool:
    """Whether `allow_tf32` can be read: not where `fp32_precision` (from 2.9) was set."""
    try:
        return isinstance(owner.allow_tf32, bool)
    except RuntimeError:
        return False


def _no_tf32(owner: Any) -> tuple[str, Any]:
    """The switch by which the process chose, so that whoever reads it still can."""
    return ("allow_tf32", False) if _readable(owner) else ("fp32_precision", "ieee")


def _allows_tf32(older: Any, newer: Any) -> bool:
    if hasattr(newer, "fp32_precision"):
        return bool(newer.fp32_precision == "tf32")
    return bool(older.allow_tf32)


def _sums_of_attention() -> bool:
    """Whether attention by plain products may sum in half precision just now."""
    allowed = getattr(torch.backends.cuda, "fp16_bf16_reduction_math_sdp_allowed", None)
    return bool(allowed is not None and allowed())


def products_in_force(device_type: str) -> dict[str, str | bool]:
    """Who multiplies on a processor, or what `exact_products` came to, for a score's record.

    Read back from the process, so that it is to be asked where the products are.
    """
    if device_type == "cpu":
        return {"product_library": library()}
    if device_type != "cuda":
        return {}
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    tf32 = _allows_tf32(matmul, matmul) or _allows_tf32(cudnn, getattr(cudnn, "conv", None))
    reduced = (
        matmul.allow_bf16_reduced_precision_reduction
        or matmul.allow_fp16_reduced_precision_reduction
        or getattr(matmul, "allow_fp16_accumulation", False)
    )
    return {"tf32": tf32, "reduced_precision_sums": bool(reduced)}


def gives_float32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a product of half factors there keeps its float32 sums; asked once of a device."""
    return _gives_float32(str(device), dtype)


@cache
def _gives_float32(device: str, dtype: torch.dtype) -> bool:
    rows, inner, columns = _PROBE
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator).to(dtype)
    right = torch.randn(columns, inner, generator=generator).to(dtype)
    expected = left.double() @ right.double().T
    try:
        out = torch.empty(rows, columns, dtype=torch.float32, device=device)
        _product_of_halves(left.to(device), right.to(device), out)
        error = (out.cpu().double() - expected).abs().max() / expected.abs().max()
    except (TypeError, RuntimeError, NotImplementedError) as caught:
        if out_of_memory(caught):
            raise
        return False
    return bool(error < _ROUNDED)


def _product_of_halves(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(left, right.T, out_dtype=torch.float32, out=out)


def product_into(
    left: torch.Tensor, right: torch.Tensor, out: torch.Tensor, wide: torch.Tensor | None = None
) -> torch.Tensor:
    """``left @ right.T`` in float32, into `out`.

    Parameters
    ----------
    left, right
        (R, H) and (V, H), on one accelerator, of one dtype.
    out
        (R, V), float32, contiguous.
    wide
        At least V * H float32 entries for a copy of `right`, where no product of halves gives
        float32; if it is None a part after the other is copied.
    """
    if right.dtype == torch.float32:
        return torch.mm(left, right.T, out=out)
    if right.dtype == torch.float64:
        return out.copy_(left @ right.T)
    if gives_float32(right.device, right.dtype):
        _product_of_halves(left, right, out)
        return out
    left = left.float()
    step = len(right) if wide is not None else _COPIED
    for start in range(0, len(right), step):
        part = right[start : start + step]
        if wide is None:
            out[:, start : start + step] = left @ part.float().T
        else:
            torch.mm(left, wide[: part.numel()].view(part.shape).copy_(part).T, out=out)
    return out


def head_products(weight: torch.Tensor) -> str:
    """How a head's logits are multiplied, in words for a score's record."""
    kind = str(weight.dtype).removeprefix("torch.")
    if kind in ("float32", "float64"):
        return kind
    if weight.device.type == "cpu" or not gives_float32(weight.device, weight.dtype):
        return f"float32, copied from {kind}"
    return f"float32 sums of {kind} factors"
