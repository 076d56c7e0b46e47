"""KL and its standard error against plain double sums, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import (
    kl_between,
    kl_matrix,
    kl_pairs,
    kl_with_standard_error,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from tests.numerics.generated import plain, spread_out

ONE_BIT = 1 / (2 * np.log(2))  # mean bytes for which KL is just the variance of the difference


@pytest.mark.parametrize(("points", "texts"), [(2, 2), (3, 7), (40, 500), (70, 1500)])
def test_all_pairs_agree_with_the_pair_loop(points, texts):
    q = spread_out(points, texts)
    kl, se = kl_with_standard_error(q)
    true_kl, true_se = plain(q)
    np.testing.assert_allclose(kl, true_kl, rtol=1e-11, atol=1e-30)
    np.testing.assert_allclose(se, true_se, rtol=1e-7, atol=1e-13)
    np.testing.assert_allclose(kl_matrix(q), true_kl, rtol=1e-11, atol=1e-30)


def test_the_standard_error_is_appendix_c_s_formula():
    q = spread_out(4, 300)
    _, se = kl_with_standard_error(q)
    d = q[0] - q[2]
    assert se[0, 2] == pytest.approx(np.sqrt(np.sum(d**4) - np.sum(d**2) ** 2 / 300), rel=1e-12)


def test_one_point_is_a_map_too():
    kl, se = kl_with_standard_error(np.ones((1, 5)))
    assert kl.tolist() == se.tolist() == kl_matrix(np.ones((1, 5))).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (np.zeros(3), "no matrix"),
        (np.zeros((0, 3)), "no matrix"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "Point 1 has a coordinate"),
    ],
)
def test_what_is_no_coordinates_is_refused(q, message):
    with pytest.raises(InputError, match=message):
        kl_matrix(q)


def test_chosen_pairs_are_entries_of_the_matrix():
    q = spread_out(9, 200)
    true_kl, true_se = plain(q)
    kl, se = kl_pairs(q, [[0], [4]], [1, 2, 8])
    np.testing.assert_allclose(kl, true_kl[[[0], [4]], [1, 2, 8]], rtol=1e-12)
    np.testing.assert_allclose(se, true_se[[[0], [4]], [1, 2, 8]], rtol=1e-12)
    one_kl, one_se = kl_pairs(q, 2, 2)
    assert one_kl.shape == ()
    assert (one_kl, one_se) == (0, 0)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.integers(2, 60), st.integers(0, 10_000), st.data())
def test_a_kl_does_not_depend_on_the_other_models(points, texts, seed, data):
    rng = np.random.default_rng(seed)
    values = rng.normal(-600.0, 10.0 ** rng.uniform(-2, 2, (points, 1)), (points, texts))
    whole = LogLikelihoodMatrix(
        values, tuple(f"m{k}" for k in range(points)), rng.integers(1, 1025, texts)
    )
    chosen = data.draw(st.permutations(range(points)))[: max(2, points // 2)]
    some = whole.keep_points(np.array(chosen))
    kl, se = kl_with_standard_error(coordinates(whole))
    fewer_kl, fewer_se = kl_with_standard_error(coordinates(some))
    np.testing.assert_allclose(fewer_kl, kl[np.ix_(chosen, chosen)], rtol=1e-8, atol=1e-25)
    same_se = se[np.ix_(chosen, chosen)]
    np.testing.assert_allclose(fewer_se, same_se, rtol=1e-5, atol=1e-10 * kl.max())
    two_kl, two_se = kl_between(values[0], values[1], whole.mean_bytes)
    assert two_kl == pytest.approx(kl[0, 1], rel=1e-8)
    assert two_se == pytest.approx(se[0, 1], rel=1e-5, abs=1e-10 * two_kl)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 50), st.integers(0, 10_000), st.floats(-1e4, 1e4), st.floats(0.1, 10))
def test_a_kl_is_symmetric_scales_with_the_square_and_ignores_a_constant(n, seed, constant, factor):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(-600.0, 100.0, (2, n))
    kl, se = kl_between(one, other, 900.0)
    assert kl >= 0
    assert se >= 0
    assert kl_between(other, one, 900.0) == pytest.approx((kl, se), rel=1e-9, abs=1e-12)
    assert kl_between(one + constant, other, 900.0) == pytest.approx((kl, se), rel=1e-6, abs=1e-9)
    scaled = kl_between(factor * one, factor * other, 900.0)
    assert scaled == pytest.approx((factor**2 * kl, factor**2 * se), rel=1e-6, abs=1e-9)


def test_vectors_a_constant_apart_are_exactly_zero_apart():
    vector = np.random.default_rng(0).integers(-1000, 0, 50).astype(float)
    assert kl_between(vector, vector - 0.5, 900.0) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l_j": np.zeros(4)}, "shapes"),
        ({"l_i": np.array([0.0, np.nan, 0.0])}, "text 1 are nan"),
        ({"mean_bytes": 0.0}, "mean bytes"),
        ({"weights": [1.0, -1.0, 1.0]}, "weights do not fit"),
        ({"weights": np.zeros(3)}, "weights do not fit"),
        ({"weights": [1.0]}, "weights do not fit"),
        ({"estimator": "exact"}, "'exact' is unknown"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    given = {"l_i": np.arange(3.0), "l_j": np.zeros(3), "mean_bytes": 900.0} | change
    with pytest.raises(InputError, match=message):
        kl_between(**given)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(2, 60), st.integers(0, 10_000))
def test_shares_of_one_nth_give_the_errors_of_texts_without_shares(points, texts, seed):
    q = spread_out(points, texts, seed)
    kl, se = kl_with_standard_error(q)
    same_kl, same_se = kl_with_standard_error(q, np.full(texts, 1 / texts))
    np.testing.assert_array_equal(same_kl, kl)
    np.testing.assert_allclose(same_se, se, rtol=1e-5, atol=1e-9 * kl.max())


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(2, 60), st.integers(0, 10_000))
def test_with_weights_all_ways_to_a_kl_agree(points, texts, seed):
    rng = np.random.default_rng(seed)
    matrix = LogLikelihoodMatrix(
        rng.normal(-600.0, 100.0, (points, texts)),
        tuple(f"m{k}" for k in range(points)),
        rng.integers(1, 1025, texts),
        rng.gamma(0.5, size=texts) + 1e-3,
    )
    q, shares = coordinates(matrix), matrix.shares
    kl, se = kl_with_standard_error(q, shares)
    np.testing.assert_allclose(kl_matrix(q), kl, rtol=1e-6)
    step_kl, step_se = kl_pairs(q, np.arange(points - 1), np.arange(1, points), shares)
    np.testing.assert_allclose(step_kl, np.diag(kl, 1), rtol=1e-6)
    np.testing.assert_allclose(step_se, np.diag(se, 1), rtol=1e-5, atol=1e-9 * kl.max())
    two = kl_between(*matrix.values[:2], matrix.mean_bytes, weights=matrix.weights)
    assert two == pytest.approx((step_kl[0], step_se[0]), rel=1e-6, abs=1e-9 * kl.max())


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.6, 0.7], [1.0, 0.5, -0.5]])
def test_shares_that_do_not_fit_are_refused(shares):
    with pytest.raises(InputError, match="do not fit 3 texts"):
        kl_pairs(np.zeros((2, 3)), 0, 1, np.array(shares))
