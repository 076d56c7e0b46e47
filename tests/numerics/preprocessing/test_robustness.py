"""Correlation of KL divergences between text sets and halves, and KL by domain."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.robustness import (
    between_halves,
    between_text_sets,
    correlation,
    kl_by_domain,
)


def generated(points, texts, seed, positions):
    """Points whose true distances are those of `positions`, seen through random texts."""
    rng = np.random.default_rng(seed)
    values = -300 + 5 * positions @ rng.standard_normal((positions.shape[1], texts))
    names = tuple(f"p{i}" for i in range(points))
    return LogLikelihoodMatrix(values, names, rng.integers(800, 1024, texts))


@pytest.fixture
def positions():
    return np.random.default_rng(0).standard_normal((12, 4))


def test_correlation_is_pearsons_over_pairs():
    rng = np.random.default_rng(1)
    a = rng.random((5, 5))
    b = a + 0.3 * rng.random((5, 5))
    above = np.triu_indices(5, 1)
    expected = np.corrcoef(a[above], b[above])[0, 1]
    assert correlation(a + a.T, b + b.T) == pytest.approx(
        np.corrcoef((a + a.T)[above], (b + b.T)[above])[0, 1]
    )
    assert correlation(a, b) == pytest.approx(expected)
    assert correlation(a, a) == pytest.approx(1.0)


def test_halves_of_many_texts_agree_and_of_few_do_not(positions):
    many = between_halves(generated(12, 4000, 2, positions), splits=4)
    few = between_halves(generated(12, 8, 2, positions), splits=4)
    assert (many["correlation"] > 0.98).all()
    assert many["mean_ratio"].between(0.9, 1.1).all()
    assert few["correlation"].mean() < 0.9
    assert many["texts"].tolist() == [2000] * 4
    again = between_halves(generated(12, 4000, 2, positions), splits=4)
    assert many.equals(again)


def test_two_text_sets_are_compared_on_the_points_of_both(positions):
    one, two = generated(12, 3000, 3, positions), generated(12, 2500, 4, positions)
    assert between_text_sets(one, two) > 0.98
    shuffled = two.keep_points(np.array([7, 2, 0, 5, 9, 11]))
    assert between_text_sets(one, shuffled) > 0.98
    unrelated = generated(12, 3000, 5, np.random.default_rng(6).standard_normal((12, 4)))
    assert between_text_sets(one, unrelated) < 0.7


def test_kl_by_domain_is_kl_on_those_texts_alone(positions):
    matrix = generated(12, 60, 7, positions)
    domains = ["law", "code", "code"] * 19 + ["code", "law", "one"]
    table = kl_by_domain(matrix, domains, [0, 3], [1, 8])
    assert table[["domain", "texts", "pair"]].values.tolist() == [
        ["code", 39, 0],
        ["code", 39, 1],
        ["law", 20, 0],
        ["law", 20, 1],
    ]
    law = np.array(domains) == "law"
    kl, se = kl_between(
        matrix.values[3, law], matrix.values[8, law], float(matrix.text_bytes[law].mean())
    )
    assert table["kl"][3] == pytest.approx(kl)
    assert table["se"][3] == pytest.approx(se)


def test_what_cannot_be_compared(positions):
    matrix = generated(12, 3, 8, positions)
    with pytest.raises(InputError, match="3 texts cannot be halved"):
        between_halves(matrix)
    with pytest.raises(InputError, match="2 points have too few pairs"):
        correlation(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="All KL divergences are equal"):
        correlation(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(InputError, match="2 domains do not fit 3 texts"):
        kl_by_domain(matrix, ["a", "b"], [0], [1])
    with pytest.raises(InputError, match="0 points were scored on both"):
        between_text_sets(matrix, LogLikelihoodMatrix(np.zeros((1, 3)), ("x",), np.ones(3)))
