"""Pairs that share a label, and pairs at random."""

import numpy as np

from mlflow_modelmap.numerics.scale.pairs import pairs_at_random, pairs_within


def test_pairs_within_labels_leave_out_the_unlabelled():
    i, j = pairs_within(["x", None, "y", "x", float("nan"), "y", "x"])
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 3), (0, 6), (2, 5), (3, 6)]
    assert pairs_within([None, None])[0].size == 0
    assert pairs_within([])[0].size == 0


def test_a_limit_draws_different_pairs_with_a_seed():
    i, j = pairs_at_random(20, limit=15, seed=3)
    assert len(set(zip(i, j, strict=True))) == 15
    assert (i < j).all()
    assert all(map(np.array_equal, pairs_at_random(20, 15, 3), (i, j)))
    assert not np.array_equal(pairs_at_random(20, 15, 4)[0], i)
    assert pairs_at_random(4, limit=100)[0].size == 6
    assert pairs_within(["x"] * 20, limit=15, seed=3)[0].size == 15
