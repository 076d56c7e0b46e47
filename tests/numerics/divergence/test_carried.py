"""How few texts carry a KL or a difference, against brute force and scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mlflow_modelmap.numerics.divergence.carried import (
    difference_error,
    effective_texts,
    half_in,
    skewness_of_mean,
)
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte_difference


@pytest.mark.parametrize("weighted", [False, True])
def test_half_of_a_kl_lies_in_the_fewest_texts_that_have_it(weighted):
    rng = np.random.default_rng(3)
    for _ in range(10):
        first, second = rng.standard_t(3, (2, 9))
        weights = rng.uniform(0.2, 4.0, 9) if weighted else None
        difference = first - second
        mean = np.average(difference, weights=weights)
        parts = (1.0 if weights is None else weights) * (difference - mean) ** 2
        fewest = next(
            count
            for count in range(1, 10)
            if max(sum(of) for of in itertools.combinations(parts, count)) >= parts.sum() / 2
        )
        assert half_in(first, second, weights) == fewest


def test_half_at_the_ends():
    one = np.zeros(500)
    one[7] = 30.0
    assert half_in(one, np.zeros(500)) == 1
    assert half_in(one + 3.0, one) == 0
    two_sides = np.tile([1.0, -1.0], 50)
    assert half_in(two_sides, np.zeros(100)) == 50


def test_weights_make_texts_fewer():
    assert effective_texts(None, 7) == 7
    assert effective_texts(np.full(8, 0.3), 8) == pytest.approx(8)
    assert effective_texts([1.0, 1.0, 2.0], 3) == pytest.approx(16 / 6)


def test_skewness_of_a_mean_is_scipy_s_over_the_root_of_the_texts():
    rng = np.random.default_rng(4)
    first, second = -rng.exponential(size=80), rng.normal(size=80)
    size = np.full(80, 500)
    expected = stats.skew(second - first) / 80**0.5
    assert skewness_of_mean(first, second, size) == pytest.approx(expected)
    assert skewness_of_mean(second, first, size) == pytest.approx(-expected)
    # A weight of 2 is the same part twice as large.
    weights = rng.integers(1, 3, 80).astype(float)
    worse = second - first
    part = weights * (worse - np.average(worse, weights=weights))
    expected = np.sum(part**3) / np.sum(part**2) ** 1.5
    assert skewness_of_mean(first, second, size, weights) == pytest.approx(expected)
    # The same bits in every byte, on texts of other lengths, have no shape but rounding.
    lengths = rng.integers(1, 1000, 80)
    assert skewness_of_mean(first, first + 0.1 * lengths, lengths) == 0.0


def test_the_error_of_a_difference_follows_from_the_kl():
    first, second = np.random.default_rng(5).normal(-500, 9, (2, 300))
    size = np.full(300, 800)
    kl, _ = kl_between(first, second, 800.0)
    expected = bits_per_byte_difference(first, second, size)[1]
    assert float(difference_error(kl, 800.0, 300)) == pytest.approx(expected)
