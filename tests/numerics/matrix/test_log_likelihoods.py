"""The log-likelihood matrix, its double-centred coordinates and the entropy bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import (
    LogLikelihoodMatrix,
    bits_per_byte,
    bits_per_byte_standard_error,
    coordinates,
    double_centre,
    entropy_bound,
    exponential,
)


def matrix(points=5, texts=40, seed=0):
    rng = np.random.default_rng(seed)
    return LogLikelihoodMatrix(
        values=rng.normal(-600.0, 120.0, (points, texts)),
        points=tuple(f"m{k}" for k in range(points)),
        text_bytes=rng.integers(200, 1025, texts),
    )


@given(st.integers(1, 8), st.integers(1, 30), st.integers(0, 100))
def test_double_centring_leaves_no_mean_and_is_a_projection(points, texts, seed):
    values = np.random.default_rng(seed).normal(-500.0, 100.0, (points, texts))
    centred = double_centre(values)
    np.testing.assert_allclose(centred.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(centred.mean(axis=1), 0.0, atol=1e-10)
    np.testing.assert_allclose(double_centre(centred), centred, atol=1e-10)


def test_a_squared_distance_is_the_variance_of_the_difference_in_bits_per_byte():
    given = matrix()
    q = coordinates(given)
    difference = given.values[1] - given.values[3]
    expected = difference.var() / (2 * given.text_bytes.mean() * np.log(2))
    assert np.sum((q[1] - q[3]) ** 2) == pytest.approx(expected, rel=1e-12)


def test_coordinates_do_not_feel_a_constant_added_to_a_model_or_to_a_text():
    given = matrix()
    moved = given.values + np.arange(5.0)[:, None] + 10.0 * np.arange(40.0)
    again = LogLikelihoodMatrix(moved, given.points, given.text_bytes)
    np.testing.assert_allclose(coordinates(again), coordinates(given), atol=1e-12)


def test_bits_per_byte_of_uniform_bytes_is_eight_and_the_bound_is_the_best_model():
    text_bytes = np.array([10, 20, 30])
    values = -np.log(2) * np.outer([8.0, 3.0, 5.0], text_bytes)
    given = LogLikelihoodMatrix(values, ("a", "b", "c"), text_bytes)
    np.testing.assert_allclose(bits_per_byte(given), [8.0, 3.0, 5.0])
    assert entropy_bound(given) == pytest.approx(3.0)


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


def weighted(given, weights):
    return LogLikelihoodMatrix(given.values, given.points, given.text_bytes, weights)


def repeated(given, times):
    return LogLikelihoodMatrix(
        np.repeat(given.values, times, axis=1), given.points, np.repeat(given.text_bytes, times)
    )


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


def test_weighted_errors_of_bits_per_byte_are_those_that_resampling_the_texts_shows():
    rng = np.random.default_rng(0)
    size = rng.integers(200, 1025, 400)
    values = -0.8 * size * rng.gamma(20.0, 0.05, (2, 400))
    given = LogLikelihoodMatrix(values, ("a", "b"), size, rng.gamma(1.0, size=400) + 0.05)
    drawn = np.array(
        [bits_per_byte(given.keep_texts(rng.integers(0, 400, 400))) for _ in range(1500)]
    )
    np.testing.assert_allclose(bits_per_byte_standard_error(given), drawn.std(axis=0), rtol=0.08)


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


def test_the_exponential_of_weighted_coordinates_is_that_of_unweighted_ones_where_alike():
    q = coordinates(matrix())
    np.testing.assert_array_equal(exponential(q), np.expm1(q))
    np.testing.assert_allclose(exponential(q, np.full(40, 1 / 40)), np.expm1(q), rtol=1e-12)


def test_the_exponential_bends_weighted_coordinates_as_it_bends_repeated_texts():
    rng = np.random.default_rng(2)
    times = rng.integers(1, 9, 100)
    values = np.outer([1.0, 2.0, 9.0], rng.exponential(0.04, 100)) + 0.01 * rng.random((3, 100))
    given = LogLikelihoodMatrix(values, ("a", "b", "c"), np.full(100, 700))

    def bend(given, curved=exponential):
        q = coordinates(given)
        x = curved(q, given.shares)
        longer = np.sum((x[0] - x[1]) ** 2) / np.sum((q[0] - q[1]) ** 2) - 1
        # To first order it shrinks with 1 / sqrt(N), which is a choice and no property of texts.
        return np.sqrt(q.shape[1]) * longer

    one, many = weighted(given, times.astype(float)), repeated(given, times)
    assert bend(one) == pytest.approx(bend(many), rel=0.002)
    assert bend(one, lambda q, _: np.expm1(q)) != pytest.approx(bend(many), rel=0.1)
