"""Workers that are forked from a process that has imported everything, rather than started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests import forking


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `sys.executable` starts is forked; one thread here as there, so that bits agree."""
    environment = forking.environment()
    python = Path(environment["PATH"].split(":")[0]) / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PYTHONPATH", str(forking.ROOT))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def family(tiny_models) -> list[str]:
    """Three models with one tokenizer."""
    return [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]
