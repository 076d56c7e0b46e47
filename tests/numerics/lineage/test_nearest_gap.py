"""The gap between the claimed parent and the nearest: its error, and how large chance makes it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.lineage.nearest_gap import (
    NearestGap,
    effective_texts,
    gap_and_error,
    largest_by_chance,
)


def drawn(random, trials, texts):
    """Coordinates of a child, its parent and another, whose differences share what is common."""
    common = random.normal(0, 2.0, (trials, 1, texts))
    return common + random.normal(0, (0.5, 1.0, 0.7), (trials, texts, 3)).transpose(0, 2, 1)


def test_the_gap_is_the_difference_of_the_two_kl():
    q = drawn(np.random.default_rng(0), 1, 50)[0]
    kl, _ = kl_pairs(q, [0, 0], [1, 2])
    assert gap_and_error(*q)[0] == pytest.approx(kl[0] - kl[1])


def test_its_error_is_the_spread_over_samples_and_less_than_that_of_independent_kl():
    texts, trials = 300, 3000
    q = drawn(np.random.default_rng(1), trials, texts)
    child = q[:, :1]
    shared = np.random.default_rng(2).normal(0, 3.0, (trials, 1, texts))
    q[:, :1] = child + shared  # the child's own change is in both KL
    found = np.array([gap_and_error(*rows) for rows in q])
    assert np.mean(found[:, 1]) == pytest.approx(np.std(found[:, 0]), rel=0.05)
    se = np.array([kl_pairs(rows, [0, 0], [1, 2])[1] for rows in q])
    assert np.mean(np.hypot(*se.T)) > 1.5 * np.std(found[:, 0])


def test_texts_of_one_document_count_together():
    random = np.random.default_rng(3)
    documents, chunks, trials = 200, 10, 1500
    clusters = np.repeat(np.arange(documents), chunks)
    q = random.normal(0, 1, (trials, 3, documents * chunks))
    # The parent differs more on some documents than on others.
    q[:, 1] *= random.uniform(0.2, 1.8, (trials, documents)).repeat(chunks, axis=1)
    found = np.array(
        [(*gap_and_error(*rows), gap_and_error(*rows, clusters=clusters)[1]) for rows in q]
    )
    spread = np.std(found[:, 0])
    assert np.mean(found[:, 1]) < 0.85 * spread
    assert np.mean(found[:, 2]) == pytest.approx(spread, rel=0.06)


def test_shares_of_texts_are_as_many_copies():
    q = drawn(np.random.default_rng(4), 1, 40)[0]
    times = np.random.default_rng(5).integers(1, 5, 40)
    shares = times / times.sum()
    weighted = q * np.sqrt(shares)
    repeated = np.repeat(q, times, axis=1) / math.sqrt(times.sum())
    gap, se = gap_and_error(*weighted, shares)
    assert gap == pytest.approx(gap_and_error(*repeated)[0])
    part = (weighted[0] - weighted[1]) ** 2 - (weighted[0] - weighted[2]) ** 2
    assert se == pytest.approx(math.sqrt(np.sum((part - shares * gap) ** 2)))


@pytest.mark.parametrize("candidates", [1, 2, 20, 200])
def test_the_largest_of_as_many_exceeds_it_as_often_as_said(candidates):
    limit = largest_by_chance(candidates, 25)
    assert stats.t.cdf(limit, 24) ** candidates == pytest.approx(0.95)
    drawn_t = np.random.default_rng(6).standard_t(24, (4000, candidates)).max(axis=1)
    assert np.mean(drawn_t > limit) == pytest.approx(0.05, abs=0.012)


def test_what_two_texts_say_is_never_enough():
    assert largest_by_chance(3, 2) == math.inf
    assert not NearestGap(1.0, 1e-9, 3, 2).another_is_nearer
    assert not NearestGap(1.0, 0.0, 3, 2).another_is_nearer


def test_a_gap_is_judged_by_how_many_there_were_to_choose_from():
    assert NearestGap(2.5, 1.0, 2, 1000).another_is_nearer
    assert not NearestGap(2.5, 1.0, 200, 1000).another_is_nearer
    assert not NearestGap(0.0, 0.0, 2, 1000).another_is_nearer
    assert NearestGap(1e-9, 0.0, 200, 1000).another_is_nearer


def test_uneven_shares_count_for_fewer_texts():
    assert effective_texts(100) == 100
    assert effective_texts(3, np.array([0.5, 0.25, 0.25])) == pytest.approx(1 / 0.375)
