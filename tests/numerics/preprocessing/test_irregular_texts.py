"""Which texts move irregularly, and which are dropped."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.preprocessing.irregular_texts import (
    consecutive,
    irregular,
    text_scores,
)


def test_neighbours_of_a_checkpoint_left_out_are_not_consecutive(pythia):
    matrix, given, *_ = pythia
    gone = matrix.points.index("1b-step4000")
    first, second = consecutive(given, 2000, {gone})
    pairs = {(matrix.points[i], matrix.points[j]) for i, j in zip(first, second, strict=True)}
    assert ("1b-step3000", "1b-step5000") not in pairs
    assert ("1b-step2000", "1b-step3000") in pairs
    assert len(pairs) == 4


def test_sd_keeps_its_digits_beside_large_changes():
    values = np.array([[0.0], [1e6], [1e6 - 1e6 + 1e-3]])
    scores = text_scores(values, (np.array([0, 1]), np.array([1, 2])))
    assert scores.sd[0] == pytest.approx(5e-4, rel=1e-6)


def test_as_much_weight_is_dropped_as_was_asked_for():
    scores = np.array([1.0, 9.0, 5.0, 7.0])
    assert irregular(scores, 0.5).tolist() == [1, 3]
    assert irregular(scores, 0.5, np.array([0.2, 0.1, 0.3, 0.4])).tolist() == [1, 3]
    assert irregular(scores, 0.5, np.array([0.6, 0.05, 0.25, 0.1])).tolist() == [1, 3, 2]
    assert irregular(scores, 0.05, np.array([0.1, 0.7, 0.1, 0.1])).tolist() == []
    many = np.random.default_rng(0).random(199)
    even = np.full(199, 1 / 199)
    for share in (0.01, 0.1, 0.33, 0.9):
        assert irregular(many, share, even).tolist() == irregular(many, share).tolist()
