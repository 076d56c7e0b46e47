"""The log-likelihood matrix, its double-centred coordinates and the entropy bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix import (
    LogLikelihoodMatrix,
    bits_per_byte,
    coordinates,
    double_centre,
    entropy_bound,
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
