"""Scoring: lets float32 matrix products on CPU round their factors to bfloat16, for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_switch = threading.RLock()
_allowed = _running = 0
"""How many have asked for the permission, and how many models are being run, in this process."""
_before = ""


@contextmanager
def running() -> Iterator[None]:
    """A model is run inside, so that others do not change how its products are rounded."""
    global _running
    with _switch:
        _running += 1
    try:
        yield
    finally:
        with _switch:
            _running -= 1


@contextmanager
def matmul_precision(precision: str, device: str = "cpu") -> Iterator[None]:
    """Inside, float32 products on CPU are as `precision` says; outside, as they were before.

    The switch belongs to the whole process: other threads' products change with it.
    """
    if precision != "bfloat16" or device != "cpu":
        yield
        return
    _allow()
    try:
        yield
    finally:
        _take_back()


@contextmanager
def of_bfloat16_factors() -> Iterator[None]:
    """Inside, a processor may multiply in bfloat16 what is bfloat16 on both sides already.

    Products and their sums stay float32, so that nothing is rounded; PyTorch does so only where the
    processor has instructions for it. Nothing changes while several models are run at once, whose
    products may be of other factors: one that begins meanwhile waits for the end of the block.
    """
    with _switch:
        alone = _running <= 1
        if alone:
            with matmul_precision("bfloat16"):
                yield
    if not alone:
        yield


def _allow() -> None:
    global _allowed, _before
    with _switch:
        _allowed += 1
        if _allowed == 1:
            _before = _switched_to("bf16", "medium")


def _take_back() -> None:
    global _allowed
    with _switch:
        _allowed -= 1
        if _allowed == 0:
            _switched_to(_before, _before)


def _switched_to(newer: str, older: str) -> str:
    """What PyTorch's switch for products on CPU said before; until 2.9 it is that of all."""
    matmul: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if hasattr(matmul, "fp32_precision"):
        before, matmul.fp32_precision = matmul.fp32_precision, newer
        return str(before)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(older)
    return before


def is_allowed() -> bool:
    """Whether somebody in this process lets products round their factors just now."""
    return _allowed > 0


def rounds_products() -> bool:
    """Whether a float32 product on CPU rounds its factors to bfloat16 just now.

    The switch is a permission: a processor without fast bfloat16 products does not use it.
    """
    factor = torch.full((256, 256), 1 + 2.0**-12)
    return bool((factor @ torch.eye(256))[0, 0] == 1)
