"""The permission to multiply in bfloat16 is counted, and never given beside other models."""

from __future__ import annotations

import threading

import pytest
import torch

from mlflow_modelmap.scoring.processor.matmul import matmul_precision, of_bfloat16_factors, running


def allowed() -> bool:
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision == "bf16"
    return torch.get_float32_matmul_precision() == "medium"


def test_of_two_that_overlap_the_last_puts_it_back():
    first, second = matmul_precision("bfloat16"), matmul_precision("bfloat16")
    assert not allowed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert allowed()
    second.__exit__(None, None, None)
    assert not allowed()


@pytest.mark.parametrize("beside", [0, 1])
def test_nothing_is_allowed_while_another_model_is_run(beside):
    stop, runs = threading.Event(), threading.Event()

    def other():
        with running():
            runs.set()
            stop.wait()

    threads = [threading.Thread(target=other) for _ in range(beside)]
    try:
        for thread in threads:
            thread.start()
            runs.wait()
        with running(), of_bfloat16_factors():
            assert allowed() == (beside == 0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not allowed()


def test_a_model_that_begins_meanwhile_waits_for_the_end_of_it():
    begun = threading.Event()

    def begins():
        with running():
            begun.set()

    with running(), of_bfloat16_factors():
        thread = threading.Thread(target=begins)
        thread.start()
        assert not begun.wait(0.2)
        assert allowed()
    thread.join()
    assert begun.is_set()
