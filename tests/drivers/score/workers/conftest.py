"""Workers that are forked from a process that has imported everything, rather than started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import forking


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread here as there, so that bits agree; workers find this package."""
    monkeypatch.setenv("PYTHONPATH", str(forking.ROOT))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quick_workers(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `sys.executable` starts is forked."""
    python = Path(forking.environment()["PATH"].split(":")[0]) / "python"
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.fixture
def family(tiny_models) -> list[str]:
    """Three models with one tokenizer."""
    return [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]
