"""Tokens a batch: what is usual on a device, capped by what the first batch took."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlflow_modelmap.scoring.accelerator.batch_size import (
    FirstBatch,
    measured_tokens,
    wanted_tokens,
)
from mlflow_modelmap.scoring.accelerator.memory import in_training
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests.scoring.accelerator.test_on_cuda import made, on_cuda, some_tokens
from tests.scoring.pretended_cuda import pretended_cuda

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda:1"), torch.device("mps")


def test_more_go_through_cuda_at_once_but_not_beside_a_training():
    assert [wanted_tokens(None, device) for device in (CPU, CUDA, MPS)] == [2048, 16_384, 2048]
    assert wanted_tokens(60, CUDA) == wanted_tokens(60, CPU) == 60
    with in_training():
        assert wanted_tokens(None, CUDA) == 2048


@pytest.mark.parametrize(
    ("taken", "free", "tokens"),
    [
        (2**30, 2**36, 16_384),  # half a MiB a token, 64 GiB free: all that is wanted
        (2**30, 5 * 2**30, 8192),  # 0.8 x 5 GiB hold 4 times as many as there were
        (2**30, 2**20, 2048),  # not fewer than went through just now
        (0, 2**30, 16_384),
    ],
)
def test_batches_are_as_large_as_free_memory_allows(taken, free, tokens):
    assert measured_tokens(16_384, 2048, taken, free) == tokens


@pytest.fixture
def memory(monkeypatch):
    """A CUDA device with 4 MiB free, of which each token of a batch takes 1 KiB."""
    state = {"peak": 0, "resets": 0}
    own = Tail.head_input

    def head_input(self, ids, cache=None):
        state["peak"] = max(state["peak"], ids.numel() * 1024)
        return own(self, ids, cache)

    def reset(device):
        state["peak"] = 0
        state["resets"] += 1

    monkeypatch.setattr(Tail, "head_input", head_input)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100 * 1024)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 100 * 1024)
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device: 100 * 1024 + state["peak"]
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * 2**20, 5 * 2**20))
    monkeypatch.setattr(FirstBatch, "of", classmethod(lambda cls, model: cls([0])))
    return state


def test_the_first_batch_is_measured_and_no_text_is_read_twice(memory, monkeypatch):
    tokens, sizes = some_tokens(200), []
    own = Scorer.of_batch

    def of_batch(self, batch):
        sizes.append(batch.size)
        return own(self, batch)

    monkeypatch.setattr(Scorer, "of_batch", of_batch)
    with pretended_cuda():
        result = score_model(on_cuda(made()), tokens, ScoringSettings())
    assert memory["resets"] == 1
    assert result.provenance["batch_tokens"] == int(0.8 * 4 * 2**20 / 1024)
    assert sizes[0] <= 2048 < sizes[1] <= result.provenance["batch_tokens"]
    assert sum(sizes) < 1.2 * tokens.lengths.sum()
    assert result.provenance["batch_shrunk"] == 0
    base = score_model(made(), tokens, ScoringSettings())
    np.testing.assert_allclose(result.log_likelihoods, base.log_likelihoods, atol=1e-4, rtol=0)
    assert base.provenance["batch_tokens"] == 2048


def test_what_somebody_asks_for_is_not_measured(memory):
    with pretended_cuda():
        result = score_model(on_cuda(made()), some_tokens(4), ScoringSettings(batch_tokens=80))
    assert memory["resets"] == 0
    assert result.provenance["batch_tokens"] == 80
