"""Scoring: float32 products by oneDNN, on processors where what PyTorch takes is slower.

On x86 PyTorch multiplies float32 matrices by Intel's MKL, which leaves the AVX-512 of other makers'
processors unused. oneDNN, which comes with PyTorch for half precision, uses it, and rounds no
factor either. `benchmarks/scoring.py` says what it gains.

It keeps some memory for each shape that it multiplies (`drivers/process/memory.py`). Weights kept
in its own order would be another tenth faster, for twice their memory, and would have to be watched
for changes.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mlflow_modelmap.scoring.processor.matmul import is_allowed

LEAST_WORK = 2**22
"""Multiplications of a product below which MKL is about as fast, or faster."""
NARROWEST = 8
"""Rows or columns below which a product is slow by oneDNN, whatever its work."""
COLUMNS = 8192
"""Columns of a larger product that are computed at once, before they are copied to their place."""
CPUINFO = "/proc/cpuinfo"
_PLAIN = (torch.Tensor, nn.Parameter)
_MATMUL = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
_MM = (torch.mm, torch.Tensor.mm)


def by_onednn() -> bool:
    """Whether float32 products on this processor are given to oneDNN just now.

    Not where the process has switched oneDNN off (``torch.backends.mkldnn.flags``), nor while
    products may round their factors.
    """
    return _is_better() and bool(torch.backends.mkldnn.enabled) and not is_allowed()


def library() -> str:
    """Which library multiplies float32 matrices on this processor, for a score's record."""
    if by_onednn():
        return "oneDNN"
    return "MKL" if torch.backends.mkl.is_available() else "PyTorch"


@cache
def _is_better() -> bool:
    """Whether oneDNN is there, right, and faster than MKL: a matter of who made the processor."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    return maker() == "AuthenticAMD" and _is_right()


def maker() -> str:
    """The processor's maker as it names itself, for instance ``AuthenticAMD``; empty if unknown."""
    try:
        with open(CPUINFO, encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "vendor_id":
                    return value.strip()
    except (OSError, UnicodeDecodeError):
        pass
    # Windows: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    return platform.processor().rpartition(",")[2].strip()


def _is_right() -> bool:
    """Whether oneDNN's own products are float32 products, on one of them."""
    generator = torch.Generator().manual_seed(0)
    shapes = (192, 160), (144, 160), (144,)
    try:
        rows, weight, bias = (
            torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
            for shape in shapes
        )
        expected = rows.double() @ weight.double().T + bias.double()
        with torch.no_grad():
            for given in (weight, weight.T.contiguous().T):
                if (_product(rows, given, bias) - expected).abs().max() > 1e-4:
                    return False
    except (AttributeError, RuntimeError):  # NotImplementedError among them
        return False
    return True


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    given = rows.contiguous(), weight, bias
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(*given, "none", [], "")
    return out


def _fits(rows: Any, weight: Any, bias: Any) -> bool:
    """Whether a product is one of plain float32 matrices in order, large enough, without gradient.

    oneDNN takes hundreds of times as long for rows of a weight that do not follow each other in
    memory, and knows no stride of a bias.
    """
    given = (rows, weight) if bias is None else (rows, weight, bias)
    return (
        all(
            type(one) in _PLAIN
            and one.dtype == torch.float32
            and one.device.type == "cpu"
            and one.layout == torch.strided
            and not one.is_nested
            for one in given
        )
        and weight.dim() == 2
        and rows.dim() > 0
        and rows.shape[-1] == weight.shape[1]
        and rows.numel() * weight.shape[0] >= LEAST_WORK
        and min(weight.shape) >= NARROWEST
        and (bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous()))
        and (weight.is_contiguous() or weight.T.is_contiguous())
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and by_onednn()
    )


def product_of_rows(
    rows: torch.Tensor, weight: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """``rows @ weight.T`` in float32, by the library that is faster here.

    Parameters
    ----------
    rows
        (R, H), float32.
    weight
        (V, H), float32.
    out
        (R, V), what may be written to and returned.
    """
    if _fits(rows, weight, None):
        return _product(rows, weight, None)
    return torch.mm(rows, weight.T, out=out)


def product_into_rows(rows: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """`product_of_rows` into all of `out`, some columns at a time."""
    if not _fits(rows, weight, None):
        torch.mm(rows, weight.T, out=out)
        return
    for start in range(0, len(weight), COLUMNS):
        part = weight[start : start + COLUMNS]
        out[:, start : start + COLUMNS] = product_of_rows(rows, part)


def products_by_onednn() -> AbstractContextManager[Any]:
    """Inside, a model's float32 products in this thread are oneDNN's, where that is better.

    Nothing of the model is changed, and nothing happens elsewhere in the process.
    """
    return _ProductsByOneDNN() if _is_better() else nullcontext()


class _ProductsByOneDNN(TorchFunctionMode):
    """What `products_by_onednn` gives, on a processor where oneDNN is better."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let oneDNN do what it can, PyTorch the rest."""
        given = kwargs or {}
        if torch.compiler.is_compiling():  # what a training compiled stays as it is
            return func(*args, **given)
        factors = _factors(func, args, given)
        if factors is None or not _fits(*factors):
            return func(*args, **given)
        return _product(*factors)


def _factors(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any, Any] | None:
    """Rows, weight and bias of a call that is ``rows @ weight.T + bias``; None for any other."""
    if func is functional.linear:
        rows, weight, bias = (*args, None, None, None)[:3]
        return (
            kwargs.get("input", rows),
            kwargs.get("weight", weight),
            kwargs.get("bias", bias),
        )
    if kwargs:
        return None
    if func is torch.addmm and len(args) == 3:
        bias, rows, columns = args
    elif func in (*_MATMUL, *_MM) and len(args) == 2:
        bias, (rows, columns) = None, args
    else:
        return None
    if not (isinstance(rows, torch.Tensor) and isinstance(columns, torch.Tensor)):
        return None
    if rows.dim() < 2 or columns.dim() != 2 or (rows.dim() > 2 and func not in _MATMUL):
        return None
    return rows, columns.T, bias
