"""Scoring: lets float32 matrix products on CPU round their factors to bfloat16, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def matmul_precision(precision: str, device: str = "cpu") -> Iterator[None]:
    """Inside, float32 products on CPU are as `precision` says; outside, as they were before.

    The switch belongs to the whole process: other threads' products change with it.
    """
    matmul: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if precision != "bfloat16" or device != "cpu":
        yield
    elif hasattr(matmul, "fp32_precision"):
        before = matmul.fp32_precision
        matmul.fp32_precision = "bf16"
        try:
            yield
        finally:
            matmul.fp32_precision = before
    else:
        earlier = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(earlier)


def rounds_products() -> bool:
    """Whether a float32 product on CPU rounds its factors to bfloat16 just now.

    The switch is a permission: a processor without fast bfloat16 products does not use it.
    """
    factor = torch.full((256, 256), 1 + 2.0**-12)
    return bool((factor @ torch.eye(256))[0, 0] == 1)
