"""The log-likelihood matrix, the weights of its texts, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte,
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from tests.numerics.matrix.matrices import matrix, repeated, weighted


def test_leaving_out_texts_changes_the_mean_bytes_and_leaving_out_points_does_not():
    given = matrix()
    keep = given.text_bytes > 500
    kept = given.keep_texts(keep)
    assert kept.values.shape == (5, keep.sum())
    assert kept.mean_bytes == given.text_bytes[keep].mean() != given.mean_bytes
    fewer = given.keep_points(np.array([3, 0]))
    assert fewer.points == ("m3", "m0")
    assert fewer.mean_bytes == given.mean_bytes
    np.testing.assert_array_equal(fewer.values, given.values[[3, 0]])


@pytest.mark.parametrize(
    ("values", "points", "message"),
    [
        (np.zeros((2, 3)), ("a",), "does not fit 1 points and 3 texts"),
        (np.zeros((2, 3)), ("a", "a"), "'a' occurs twice"),
        (np.array([[0.0, 1, 2], [0, -np.inf, 2]]), ("a", "b"), "text 1 under 'b' is -inf"),
    ],
)
def test_a_matrix_that_cannot_be_right_is_refused(values, points, message):
    with pytest.raises(InputError, match=message):
        LogLikelihoodMatrix(values, points, np.array([1, 2, 3]))


MEASURES = (bits_per_byte, bits_per_byte_standard_error, entropy_bound, coordinates)


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 100), st.floats(1e-6, 1e6))
def test_weights_that_are_all_equal_change_no_bit(points, texts, seed, weight):
    plain = matrix(points, texts, seed)
    even = weighted(plain, np.full(texts, weight))
    assert even.mean_bytes == plain.mean_bytes
    for measure in MEASURES:
        np.testing.assert_array_equal(measure(even), measure(plain))


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 100))
def test_a_weight_counts_a_text_as_often_as_it_says(points, texts, seed):
    plain = matrix(points, texts, seed)
    times = np.random.default_rng(seed).integers(1, 5, texts)
    one, many = weighted(plain, times.astype(float)), repeated(plain, times)
    assert one.mean_bytes == pytest.approx(many.mean_bytes, rel=1e-12)
    np.testing.assert_allclose(bits_per_byte(one), bits_per_byte(many), rtol=1e-12)
    distances = [np.sum((q[:, None] - q) ** 2, axis=-1) for q in map(coordinates, (one, many))]
    np.testing.assert_allclose(*distances, rtol=1e-9, atol=1e-14)


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 100), st.floats(1e-6, 1e6))
def test_the_scale_of_the_weights_does_not_matter(points, texts, seed, scale):
    weights = np.random.default_rng(seed).gamma(0.5, size=texts) + 1e-3
    one, other = (weighted(matrix(points, texts, seed), w) for w in (weights, scale * weights))
    assert one.mean_bytes == pytest.approx(other.mean_bytes, rel=1e-12)
    for measure in MEASURES:
        np.testing.assert_allclose(measure(one), measure(other), rtol=1e-9, atol=1e-13)


def test_kept_texts_keep_their_weights():
    given = weighted(matrix(texts=4), np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(given.keep_texts(np.array([3, 0])).weights, [4.0, 1.0])
    np.testing.assert_allclose(given.keep_texts(np.array([3, 0])).shares, [0.8, 0.2])
    assert given.keep_texts(np.array([2])).shares is None
    np.testing.assert_array_equal(given.keep_points(np.array([1])).weights, given.weights)


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, 0.0, 1.0], [1.0, np.inf, 1.0], [[1.0] * 3]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InputError, match="do not fit 3 texts"):
        weighted(matrix(texts=3), np.array(weights))
