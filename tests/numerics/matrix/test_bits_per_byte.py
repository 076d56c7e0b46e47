"""Bits per byte, their difference and errors against generated data, and the entropy bound."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_and_error,
    bits_per_byte,
    bits_per_byte_difference,
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix


def _population(count, random):
    size = random.integers(50, 150, count).astype(float)
    first = -0.7 * size + random.normal(0, 6, count)
    return first, first - 0.02 * size + random.normal(0, 1.5, count), size


def test_it_is_the_difference_of_the_two_values():
    first, second, size = _population(300, np.random.default_rng(0))
    difference, se = bits_per_byte_difference(first, second, size)
    a, se_a = bits_and_error(first, size)
    b, se_b = bits_and_error(second, size)
    assert difference == pytest.approx(a - b)
    assert se < 0.5 * min(se_a, se_b)  # what the two have in common cancels
    assert bits_per_byte_difference(first, first, size) == (0, 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_agrees_with_the_matrix(weighted):
    random = np.random.default_rng(1)
    first, second, size = _population(200, random)
    weights = random.uniform(0.1, 4, 200) if weighted else None
    matrix = LogLikelihoodMatrix(np.stack([first, second]), ("a", "b"), size, weights)
    for row, bits, error in zip(
        matrix.values, bits_per_byte(matrix), bits_per_byte_standard_error(matrix), strict=True
    ):
        assert bits_and_error(row, size, weights) == pytest.approx((bits, error))


def test_its_error_is_the_spread_over_samples_of_texts():
    random = np.random.default_rng(2)
    first, second, size = _population(20_000, random)
    true, _ = bits_per_byte_difference(first, second, size)
    chance = random.uniform(0.5, 2.0, len(size))
    chance /= chance.sum()
    for weights in (None, 1 / chance):
        found = []
        for _ in range(400):
            p = None if weights is None else chance
            index = random.choice(len(size), 300, p=p)
            w = None if weights is None else weights[index]
            found.append(bits_per_byte_difference(first[index], second[index], size[index], w))
        value, error = np.array(found).T
        assert value.mean() == pytest.approx(true, abs=4 * error.mean() / 20)
        assert error.mean() == pytest.approx(value.std(), rel=0.15)
        assert (abs(value - true) < 1.96 * error).mean() == pytest.approx(0.95, abs=0.035)


def test_the_scale_of_weights_does_not_matter():
    first, second, size = _population(50, np.random.default_rng(3))
    weights = np.arange(1.0, 51.0)
    once = bits_per_byte_difference(first, second, size, weights)
    assert bits_per_byte_difference(first, second, size, 7 * weights) == pytest.approx(once)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"shapes \(3,\) and \(2,\)"):
        bits_per_byte_difference([1, 2, 3], [1, 2], [4, 5, 6])
    with pytest.raises(InputError, match="do not fit together"):
        bits_and_error([1, 2], [4, 5, 6])
    with pytest.raises(InputError, match="weights do not fit"):
        bits_and_error([1, 2], [4, 5], [0, 0])


def test_bits_per_byte_of_uniform_bytes_is_eight_and_the_bound_is_the_best_model():
    text_bytes = np.array([10, 20, 30])
    values = -np.log(2) * np.outer([8.0, 3.0, 5.0], text_bytes)
    given = LogLikelihoodMatrix(values, ("a", "b", "c"), text_bytes)
    np.testing.assert_allclose(bits_per_byte(given), [8.0, 3.0, 5.0])
    assert entropy_bound(given) == pytest.approx(3.0)


def test_weighted_errors_of_bits_per_byte_are_those_that_resampling_the_texts_shows():
    rng = np.random.default_rng(0)
    size = rng.integers(200, 1025, 400)
    values = -0.8 * size * rng.gamma(20.0, 0.05, (2, 400))
    given = LogLikelihoodMatrix(values, ("a", "b"), size, rng.gamma(1.0, size=400) + 0.05)
    drawn = np.array(
        [bits_per_byte(given.keep_texts(rng.integers(0, 400, 400))) for _ in range(1500)]
    )
    np.testing.assert_allclose(bits_per_byte_standard_error(given), drawn.std(axis=0), rtol=0.08)
