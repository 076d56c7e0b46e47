"""KL and its standard error: against plain double sums, near and far, and their statistics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import all_pairs as pair_products
from mlflow_modelmap.numerics.divergence.kl import (
    confidence_interval,
    kl_between,
    kl_consecutive,
    kl_matrix,
    kl_pairs,
    kl_with_standard_error,
)
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, coordinates

ONE_BIT = 1 / (2 * np.log(2))  # mean bytes for which KL is just the variance of the difference


def plain(q, dtype=np.float64, shares=None):
    """The formulas of Section 2 and Appendix C, pair by pair."""
    q = q.astype(dtype)
    points, texts = q.shape
    a = np.full(texts, 1 / dtype(texts)) if shares is None else shares.astype(dtype)
    kl, se = np.zeros((points, points), dtype), np.zeros((points, points), dtype)
    for i in range(points):
        square = (q[i] - q) ** 2
        kl[i] = square.sum(axis=1)
        # The same as sqrt(sum d^4 - KL^2 / N), without its cancellation.
        se[i] = np.sqrt(((square - kl[i, :, None] * a) ** 2).sum(axis=1))
    return kl, se


def spread_out(points, texts, seed=0, *, tail=None):
    """Points spread over a KL of about 10."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if tail is None else lambda shape: rng.standard_t(tail, shape)
    q = draw((points, texts)) * np.sqrt(5.0 / texts)
    q -= q.mean(axis=1, keepdims=True)
    return q - q.mean(axis=0)


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def worst(found, true):
    return float(np.max(np.abs(off_diagonal(found) / off_diagonal(true) - 1)))


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


@pytest.mark.parametrize("tail", [None, 3])
@pytest.mark.parametrize("exponent", [-12, -9, -7, -5, -3, -1])
def test_near_pairs_among_far_points_keep_their_digits(exponent, tail):
    far = spread_out(20, 2000, tail=tail)
    step = spread_out(20, 2000, seed=1, tail=tail) * np.sqrt(10.0 ** (exponent - 1))
    q = np.concatenate((far, far + step))
    true_kl, true_se = plain(q, np.longdouble)
    near = true_kl[np.arange(20), np.arange(20) + 20]
    assert 0.01 < near.max() / 10.0**exponent < 100
    kl, se = kl_with_standard_error(q)
    assert worst(kl, true_kl) < 1e-6
    assert worst(se, true_se) < 1e-6
    assert worst(kl_matrix(q), true_kl) < 1e-6


def test_near_points_in_crowds_keep_their_digits():
    rng = np.random.default_rng(2)
    crowd = spread_out(3, 1200)[np.arange(150) % 3]
    q = crowd + rng.standard_normal(crowd.shape) * np.geomspace(1e-9, 1e-5, 150)[:, None]
    kl, se = kl_with_standard_error(q)
    true_kl, true_se = plain(q, np.longdouble)
    assert worst(kl, true_kl) < 1e-6
    assert worst(se, true_se) < 1e-6


def test_a_shared_outlier_text_does_not_spoil_the_error_of_points_that_differ_elsewhere():
    q = spread_out(30, 1000)
    q[:10, 0] += 300.0
    kl, se = kl_with_standard_error(q)
    true_kl, true_se = plain(q, np.longdouble)
    assert worst(kl, true_kl) < 1e-6
    assert worst(se, true_se) < 1e-6


def test_differences_of_one_size_have_the_small_error_that_they_have():
    rng = np.random.default_rng(3)
    sign = rng.choice([-1.0, 1.0], 1000) * (1 + 1e-5 * rng.standard_normal(1000))
    q = np.stack((0.01 * sign, -0.01 * sign, spread_out(3, 1000)[0]))
    _, se = kl_with_standard_error(q)
    assert worst(se, plain(q, np.longdouble)[1]) < 1e-6


def test_equal_points_are_exactly_zero_apart_and_far_from_others():
    q = np.repeat(spread_out(3, 400), 50, axis=0)
    kl, se = kl_with_standard_error(q)
    same = np.arange(150)[:, None] // 50 == np.arange(150) // 50
    assert (kl[same] == 0).all()
    assert (se[same] == 0).all()
    assert kl[~same].min() > 1


def test_blocks_of_points_and_texts_fit_together(monkeypatch):
    q = spread_out(37, 301)
    q[20] = q[3] + 1e-8 * spread_out(37, 301, seed=5)[20]
    whole_kl, whole_se = kl_with_standard_error(q)
    monkeypatch.setattr(pair_products, "_ROWS", 8)
    monkeypatch.setattr(pair_products, "_TEXTS", 50)
    monkeypatch.setattr(pair_products, "_DIRECT_ELEMENTS", 1)
    kl, se = kl_with_standard_error(q)
    np.testing.assert_allclose(kl, whole_kl, rtol=1e-11)
    np.testing.assert_allclose(se, whole_se, rtol=1e-7)
    np.testing.assert_array_equal(kl, kl.T)
    np.testing.assert_array_equal(se, se.T)


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


def test_chosen_and_consecutive_pairs_are_entries_of_the_matrix():
    q = spread_out(9, 200)
    true_kl, true_se = plain(q)
    kl, se = kl_pairs(q, [[0], [4]], [1, 2, 8])
    np.testing.assert_allclose(kl, true_kl[[[0], [4]], [1, 2, 8]], rtol=1e-12)
    np.testing.assert_allclose(se, true_se[[[0], [4]], [1, 2, 8]], rtol=1e-12)
    one_kl, one_se = kl_pairs(q, 2, 2)
    assert one_kl.shape == ()
    assert (one_kl, one_se) == (0, 0)
    step_kl, step_se = kl_consecutive(q)
    np.testing.assert_allclose(step_kl, np.diag(true_kl, 1), rtol=1e-12)
    np.testing.assert_allclose(step_se, np.diag(true_se, 1), rtol=1e-12)
    assert kl_consecutive(q[:1])[0].shape == (0,)


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


@pytest.mark.parametrize("estimator", ["self-normalised", "unbiased"])
def test_weights_count_a_text_as_often_as_they_say(estimator):
    rng = np.random.default_rng(0)
    one, other = rng.normal(-600.0, 100.0, (2, 30))
    times = rng.integers(1, 4, 30)
    weighted, _ = kl_between(one, other, 900.0, weights=times)
    repeated, _ = kl_between(np.repeat(one, times), np.repeat(other, times), 900.0)
    assert weighted == pytest.approx(repeated, rel=1e-12)
    even = kl_between(one, other, 900.0, weights=np.ones(30), estimator=estimator)
    assert even == pytest.approx(kl_between(one, other, 900.0, estimator=estimator))
    if estimator == "unbiased":
        assert even[0] == pytest.approx((one - other).var(ddof=1) / (2 * 900 * np.log(2)))
    else:
        scaled = kl_between(one, other, 900.0, weights=7.0 * times)
        assert scaled[0] == pytest.approx(weighted, rel=1e-12)


def sampled_by_domain(texts, repeats, seed=0):
    """Half of the sample from a domain that makes a fifth of the population; its true KL."""
    rng = np.random.default_rng(seed)
    rare = rng.random((repeats, texts)) < 0.5
    normal = rng.standard_normal((repeats, texts))
    difference = np.where(rare, 1.5 + 2.0 * normal, normal)
    truth = 0.8 * 1.0 + 0.2 * 4.0 + 0.8 * 0.2 * 1.5**2
    return difference, np.where(rare, 0.2 / 0.5, 0.8 / 0.5), truth


@pytest.mark.parametrize("estimator", ["self-normalised", "unbiased"])
def test_weighted_estimates_are_right_on_average_and_their_errors_cover(estimator):
    texts, repeats = 200, 1500
    difference, weights, truth = sampled_by_domain(texts, repeats)
    zero = np.zeros(texts)
    found = np.array(
        [
            kl_between(d, zero, ONE_BIT, weights=w, estimator=estimator)
            for d, w in zip(difference, weights, strict=True)
        ]
    )
    kl, se = found.T
    bias = kl.mean() - truth
    # Four standard errors of the average over the repeats; O(1/N) may be added to the one.
    allowed = 4 * kl.std() / np.sqrt(repeats)
    assert abs(bias) < allowed + (0 if estimator == "unbiased" else 2 * truth / texts)
    assert se.mean() == pytest.approx(kl.std(), rel=0.07)
    low, high = confidence_interval(kl, se)
    assert 0.925 < np.mean((low <= truth) & (truth <= high)) < 0.97
    unweighted = np.array([kl_between(d, zero, ONE_BIT)[0] for d in difference])
    assert abs(unweighted.mean() - truth) > 10 * abs(bias)


def test_the_unbiased_estimate_is_unbiased_where_the_other_is_not():
    texts, repeats = 8, 4000
    difference, weights, truth = sampled_by_domain(texts, repeats, seed=1)
    average = {
        name: np.array(
            [
                kl_between(d, np.zeros(texts), ONE_BIT, weights=w, estimator=name)[0]
                for d, w in zip(difference, weights, strict=True)
            ]
        )
        for name in ("unbiased", "self-normalised")
    }
    error = average["unbiased"].std() / np.sqrt(repeats)
    assert abs(average["unbiased"].mean() - truth) < 4 * error
    assert abs(average["self-normalised"].mean() - truth) > 4 * error


@pytest.mark.parametrize(
    ("name", "texts"), [("standard_normal", 100), ("laplace", 500), ("laplace", 1000)]
)
def test_intervals_cover_the_truth_and_stay_positive(name, texts):
    difference = getattr(np.random.default_rng(4), name)(size=(2000, texts))
    truth = 1.0 if name == "standard_normal" else 2.0
    kl = difference.var(axis=1)
    se = np.std((difference - difference.mean(axis=1, keepdims=True)) ** 2, axis=1) / texts**0.5
    low, high = confidence_interval(kl, se)
    assert (low > 0).all()
    assert 0.925 < np.mean((low <= truth) & (truth <= high)) < 0.97
    wide_low, wide_high = confidence_interval(kl, se, 0.99)
    assert (wide_low < low).all()
    assert (wide_high > high).all()


def test_intervals_at_the_ends():
    low, high = confidence_interval([0.0, 0.5, 1e-300], [0.0, 0.0, 1.0])
    assert low.tolist() == [0.0, 0.5, 0.0]
    assert high.tolist() == [0.0, 0.5, np.inf]
    with pytest.raises(InputError, match="level of 95"):
        confidence_interval(1.0, 0.1, 95)


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


def uneven(texts, seed=0):
    """Shares as resampling gives them: many middling ones, few small ones."""
    weights = np.random.default_rng(seed).gamma(0.5, size=texts) + 1e-3
    return weights / weights.sum()


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
    step_kl, step_se = kl_consecutive(q, shares)
    np.testing.assert_allclose(step_kl, np.diag(kl, 1), rtol=1e-6)
    np.testing.assert_allclose(step_se, np.diag(se, 1), rtol=1e-5, atol=1e-9 * kl.max())
    two = kl_between(*matrix.values[:2], matrix.mean_bytes, weights=matrix.weights)
    assert two == pytest.approx((step_kl[0], step_se[0]), rel=1e-6, abs=1e-9 * kl.max())


@pytest.mark.parametrize("exponent", [-12, -7, -3])
def test_with_weights_too_near_pairs_keep_their_digits(exponent):
    far = spread_out(20, 2000, tail=3)
    step = spread_out(20, 2000, seed=1, tail=3) * np.sqrt(10.0 ** (exponent - 1))
    q, shares = np.concatenate((far, far + step)), uneven(2000)
    true_kl, true_se = plain(q, np.longdouble, shares)
    kl, se = kl_with_standard_error(q, shares)
    assert worst(kl, true_kl) < 1e-6
    assert worst(se, true_se) < 1e-6


def test_a_heavy_text_that_all_share_does_not_spoil_weighted_errors():
    q, shares = spread_out(30, 1000), uneven(1000)
    q[:10, int(shares.argmax())] += 300.0
    kl, se = kl_with_standard_error(q, shares)
    true_kl, true_se = plain(q, np.longdouble, shares)
    assert worst(kl, true_kl) < 1e-6
    assert worst(se, true_se) < 1e-6


def test_a_weighted_error_is_not_that_of_repeated_texts_which_say_nothing_new():
    rng = np.random.default_rng(0)
    one, other = rng.normal(-600.0, 100.0, (2, 200))
    times = np.full(200, 4)
    weighted = kl_between(one, other, 900.0, weights=times)
    repeated = kl_between(np.repeat(one, times), np.repeat(other, times), 900.0)
    assert weighted[0] == pytest.approx(repeated[0])
    assert weighted[1] == pytest.approx(2.0 * repeated[1])


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.6, 0.7], [1.0, 0.5, -0.5]])
def test_shares_that_do_not_fit_are_refused(shares):
    with pytest.raises(InputError, match="do not fit 3 texts"):
        kl_pairs(np.zeros((2, 3)), 0, 1, np.array(shares))
