"""Double-centred coordinates and their exponential."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.matrix.coordinates import (
    centre_of,
    coordinates,
    coordinates_around,
    double_centre,
    exponential,
    text_centred,
)
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from tests.numerics.matrix.matrices import matrix, repeated, weighted


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


@pytest.mark.parametrize("per_byte", [False, True])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_is_a_copy_to_the_bit_wherever_it_stands(order, weights, per_byte):
    """Among 3 to 9 points, alone, and in either order of memory, as kept texts have it."""
    rng = np.random.default_rng(0)
    for points in range(3, 10):
        values = -rng.uniform(50, 500, (points, 997))
        values[-1] = values[0]
        given = LogLikelihoodMatrix(
            np.asarray(values, order=order),
            tuple(f"m{k}" for k in range(points)),
            rng.integers(50, 2000, 997),
            rng.uniform(0.5, 2.0, 997) if weights else None,
            per_byte=per_byte,
        )
        centre = centre_of(given)
        q = coordinates_around(given, centre)
        np.testing.assert_array_equal(q[-1], q[0])
        assert kl_matrix(q)[0, -1] == 0.0
        alone = given.keep_points(np.array([points - 1]))
        np.testing.assert_array_equal(coordinates_around(alone, centre)[0], q[0])
        np.testing.assert_array_equal(text_centred(alone)[0], text_centred(given)[0])
