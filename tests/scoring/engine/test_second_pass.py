"""A second pass: other batches, the same texts, and nothing of the score changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.engine.batches import plan
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.second_pass import plan_again, second_pass, spread
from mlflow_modelmap.scoring.engine.slices import slice_sizes
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring.endings import MixedEnd, ending_as
from tests.scoring.reckoning import score


@given(
    st.lists(st.integers(2, 60), min_size=2, max_size=40),
    st.integers(1, 200),
    st.integers(2, 20),
    st.none() | st.integers(1, 200),
)
def test_every_text_comes_once_among_another_number_of_rows(lengths, budget, wanted, body_tokens):
    lengths = np.array(lengths)
    chosen = spread(lengths, np.arange(len(lengths)), wanted)
    assert len(chosen) == len(set(chosen.tolist())) == min(wanted, len(lengths))
    before = {}
    for batch in plan(lengths, range(len(lengths)), budget):
        sizes = slice_sizes(len(batch), int(lengths[batch].max()), body_tokens)
        rows_at_once = [size for size in sizes for _ in range(size)]
        before |= dict(zip(batch.tolist(), rows_at_once, strict=True))
    batches = plan_again(lengths, chosen, budget, body_tokens)
    once = [int(text) for rows, count in batches for text in rows[:count]]
    assert once == chosen.tolist()
    for rows, count in batches:
        assert all(before[int(text)] != len(rows) for text in rows)
        if len(rows) == count > 1:
            assert count * lengths[rows].max() <= budget // 2


def test_the_texts_are_spread_over_the_lengths():
    lengths = np.random.default_rng(0).permutation(np.arange(10, 110))
    chosen = spread(lengths, np.flatnonzero(lengths != 60), 5)
    found = lengths[chosen]
    assert found.tolist() == sorted(found)
    assert (found[0], found[-1]) == (10, 109)
    assert 60 not in found
    np.testing.assert_allclose(np.diff(found), 25, atol=2)


def test_it_is_the_same_score_but_for_rounding_and_leaves_it_as_it_is(tiny_model, texts):
    alone = score(tiny_model, texts, noise=0)
    twice = score(tiny_model, texts, noise=10)
    np.testing.assert_array_equal(alone.log_likelihoods, twice.log_likelihoods)
    assert alone.second is None
    assert len(twice.second.texts) == 10
    assert (np.diff(twice.second.texts) > 0).all()
    again = twice.second.log_likelihoods
    np.testing.assert_allclose(again, alone.log_likelihoods[twice.second.texts], atol=1e-3, rtol=0)


def test_half_precision_is_scored_twice_unasked_and_differs(tiny_model, texts):
    result = score(tiny_model, texts, precision="bfloat16", batch_tokens=200)
    difference = result.second.log_likelihoods - result.log_likelihoods[result.second.texts]
    assert len(difference) == 20
    assert np.abs(difference).max() < 1.0
    # transformers 4 with PyTorch 2.6 rounds a text alike in whatever company; so do processors that
    # multiply in bfloat16 themselves
    in_hardware = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    assert difference.any() or tiny.TRANSFORMERS < 5 or in_hardware
    assert score(tiny_model, texts).second is None


def test_a_model_in_training_is_scored_once_whatever_its_precision(tiny_model, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    tokens = tokenize(tiny_model, texts, ScoringSettings())
    assert score_model(model, tokens, ScoringSettings()).second is None


def test_a_model_that_takes_one_text_at_a_time_is_given_a_text_twice(tiny_model, texts):
    settings = ScoringSettings(device="cpu")
    tokens = tokenize(tiny_model, texts, settings)
    result = score_model(ending_as(MixedEnd, tiny_model), tokens, settings, noise=6)
    again = result.second.log_likelihoods
    np.testing.assert_allclose(again, result.log_likelihoods[result.second.texts], atol=1e-3)
    assert len(again) == 6


def test_what_depends_on_its_company_is_not_scored_twice(tiny_model, texts):
    scorer = a_scorer(tiny_model, texts)
    scorer.outliers = True
    assert second_pass(scorer, 10) is None


def test_memory_that_runs_out_costs_no_more_than_those_texts(tiny_model, texts, monkeypatch):
    scorer = a_scorer(tiny_model, texts, batch_tokens=100)
    before = scorer.values.copy()
    of_batch, calls = scorer.of_batch, []

    def failing(batch):
        calls.append(len(batch.pieces))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no more")
        return of_batch(batch)

    monkeypatch.setattr(scorer, "of_batch", failing)
    with torch.no_grad():
        found = second_pass(scorer, 12)
    assert 2 <= len(found.texts) < 12
    np.testing.assert_array_equal(scorer.values, before)
    monkeypatch.setattr(scorer, "of_batch", lambda batch: failing(calls.clear() or batch))
    assert second_pass(scorer, 12) is None


def a_scorer(path, texts, **settings) -> Scorer:
    how = ScoringSettings(device="cpu", **settings)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    with torch.no_grad():
        made = Scorer(model, tokenize(path, texts, how), how, "float32", None)
        made.score(range(len(texts)))
    return made


def test_how_many_are_scored_twice_where_nobody_says():
    twice = ScoringSettings.texts_scored_twice
    assert [twice(ScoringSettings(), p) for p in ("float32", "bfloat16", "nf4")] == [0, 20, 20]
    assert twice(ScoringSettings(matmul="bfloat16"), "float32") == 20
    assert twice(ScoringSettings(noise=0), "bfloat16") == 0
    assert twice(ScoringSettings(noise=7), "float32") == 7


@pytest.mark.parametrize(
    ("noise", "said"), [(1, "noise is 1; it must be 0, or 2"), (-1, "0 or more")]
)
def test_a_number_of_texts_that_gives_no_variance_is_refused(noise, said):
    with pytest.raises(InputError, match=said):
        ScoringSettings(noise=noise)
