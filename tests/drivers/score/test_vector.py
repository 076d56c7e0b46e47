"""The middle of a score's way: plain values in, the same vector out, in any process."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch

from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.drivers.score.vector import Ready, vector
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests.drivers.score.elsewhere import scored_elsewhere


@pytest.fixture
def prepared(tiny_model, texts):
    return prepare(
        ScoreRequest(
            reference=ModelReference.parse(tiny_model),
            settings=ScoringSettings(layers=True, device="cpu"),
            trajectory="t",
            step=3,
        ),
        texts,
    )


@pytest.fixture
def one_thread(monkeypatch):
    """Threads split sums in other ways, here and in the processes that are started."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_another_process_gets_the_same_vector_to_the_bit_without_mlflow(prepared, one_thread):
    for ready in (TokenCache().ready(prepared), Ready(prepared)):
        here = vector(ready)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            there, mlflow_there = pool.apply(scored_elsewhere, (ready,))
        assert np.array_equal(there.log_likelihoods, here.log_likelihoods)
        assert np.array_equal(there.layer_log_likelihoods, here.layer_log_likelihoods)
        assert there.provenance["head"] == here.provenance["head"]
        assert not mlflow_there


def test_what_waits_in_the_spool_is_the_vector(prepared):
    made = vector(Ready(prepared))
    assert vector(Ready(prepared, kept=made)) is made


def test_score_goes_this_way(store, prepared, texts, tiny_model):
    done = score(tiny_model, texts, layers=True, device="cpu", trajectory="t", step=3)
    assert np.array_equal(done.log_likelihoods, vector(Ready(prepared)).log_likelihoods)
