"""A monitored training whose checkpoints are compared with a reference token by token."""

from __future__ import annotations

import logging
import math
import random
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from mlflow_modelmap import InputError, Monitor, TextSet, score
from mlflow_modelmap.drivers.exact.exact import ExactOptions, exact_between
from mlflow_modelmap.drivers.pair.named_score import by_run_id
from mlflow_modelmap.scoring.accelerator import memory
from tests import tiny
from tests.training import examples, model_of, monitoring_texts, start_model, tokenizer_of


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_model(tmp_path_factory.mktemp("start"))


@pytest.fixture
def texts() -> TextSet:
    return monitoring_texts()


@pytest.fixture
def kept_in(tmp_path, monkeypatch):
    """Where temporary folders are made, and what they hold of a reference."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return lambda: [path.name for path in folder.rglob("*.bin")]


def train(model, tokenizer, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rows = torch.tensor([row["input_ids"] for row in examples(tokenizer)[:4]])
    for _ in range(steps):
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_it_is_0_at_the_reference_and_later_what_saved_weights_say(
    store, start, texts, tmp_path, kept_in, monkeypatch
):
    of_trainings = []
    monkeypatch.setattr(memory, "give_back", lambda: of_trainings.append(memory.of_a_training()))
    model, tokenizer = model_of(start), tokenizer_of(start)
    watched = Monitor(texts, tokenizer=tokenizer, reference=str(start), exact=True, exact_texts=12)
    with mlflow.start_run() as active, watched as monitor:
        first = monitor.record(model, 0)
        assert kept_in() == ["head_states.bin"]
        train(model, tokenizer, 4)
        later = monitor.record(model, 4)
        model.save_pretrained(tmp_path / "later")
        tokenizer.save_pretrained(tmp_path / "later")
        saved = monitor.record_saved(tmp_path / "later", 5)
    assert kept_in() == []
    assert of_trainings, "a saved model was let go of"
    assert all(of_trainings), "the training's own cached memory is left alone"
    assert (first.exact_forward, first.exact_reverse, first.exact_top1) == (0.0, 0.0, 1.0)
    assert later.exact_forward > 0
    assert saved.exact_forward == pytest.approx(later.exact_forward, rel=1e-6)

    runs = [
        score(str(path), texts, device="cpu", progress=False).run_id
        for path in (start, tmp_path / "later")
    ]
    client = mlflow.MlflowClient(store)
    points = tuple(by_run_id(run, client) for run in runs)
    options = ExactOptions(texts=texts, count=12, device="cpu")
    right = exact_between([points], client, options, progress=False).pairs.iloc[0]
    for name in ("forward", "forward_se", "reverse", "top1"):
        assert getattr(later, f"exact_{name}") == pytest.approx(right[name], rel=1e-4)
    assert right["forward"] != pytest.approx(right["reverse"], rel=1e-3)
    logged = client.get_metric_history(active.info.run_id, "modelmap/exact_forward")
    assert [(m.step, m.value) for m in logged][:2] == [(0, 0.0), (4, later.exact_forward)]


def test_the_first_checkpoint_is_kept_as_it_was(store, start, texts, kept_in):
    model, tokenizer = model_of(start), tokenizer_of(start)
    model.train()
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()

    def training_that_fails():
        with Monitor(texts, tokenizer=tokenizer, exact=True) as monitor:
            assert monitor.record(model, 0).exact_forward == 0
            assert model.training
            assert all(p.grad is None and p.requires_grad for p in model.parameters())
            assert random.getstate() == states[0]
            assert np.array_equal(np.random.get_state()[1], states[1])
            assert torch.equal(torch.get_rng_state(), states[2])
            train(model, tokenizer, 3)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                cast = monitor.record(model, 3)
                assert torch.is_autocast_enabled("cpu")
            plain = monitor.record(model, 4)
            assert plain.exact_forward > 0
            assert cast.exact_forward == plain.exact_forward
            assert kept_in() == ["head_states.bin"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        training_that_fails()
    assert kept_in() == []


def test_a_reference_that_cannot_be_compared_so_is_said_once(
    store, start, texts, tmp_path, caplog, kept_in
):
    other = tmp_path / "other"
    tiny.make_model(other, "llama", 3, vocab_size=330)
    tiny.make_tokenizer(other, vocab_size=330)
    tokenizer = tokenizer_of(start)
    caplog.set_level(logging.WARNING)
    with Monitor(texts, tokenizer=tokenizer, reference=str(other), exact=True) as monitor:
        recorded = [monitor.record(model_of(start), step) for step in range(2)]
    said = [r.getMessage() for r in caplog.records if "token by token" in r.getMessage()]
    assert len(said) == 1
    assert "second-order estimate" in said[0]
    assert monitor.stopped is None
    for one in recorded:
        assert math.isnan(one.exact_forward)
        assert one.kl_reference > 0
    assert kept_in() == []


def test_what_cannot_be_meant_is_refused_before_training(texts):
    with pytest.raises(InputError, match="reference is None"):
        Monitor(texts, reference=None, exact=True)
    with pytest.raises(InputError, match="exact_texts is 1"):
        Monitor(texts, exact=True, exact_texts=1)


def test_a_first_checkpoint_of_which_only_the_vector_is_there_is_said(store, start, texts, caplog):
    model, tokenizer = model_of(start), tokenizer_of(start)
    with mlflow.start_run() as active, Monitor(texts, tokenizer=tokenizer) as monitor:
        monitor.record(model, 0)
    run_id = active.info.run_id
    caplog.set_level(logging.WARNING)
    with Monitor(texts, tokenizer=tokenizer, run_id=run_id, exact=True) as monitor:
        assert math.isnan(monitor.record(model, 1).exact_forward)
    with Monitor(texts, tokenizer=tokenizer, reference=run_id, exact=True) as monitor:
        assert math.isnan(monitor.record(model, 0).exact_forward)
    said = [r.getMessage() for r in caplog.records if "token by token" in r.getMessage()]
    assert ["save it" in one or "save the checkpoint" in one for one in said] == [True, True]
