"""All pairs at once keep their digits, near and far, alone and in crowds."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.divergence import gram_products, kl_variance
from mlflow_modelmap.numerics.divergence.kl import (
    kl_matrix,
    kl_with_standard_error,
)
from tests.numerics.generated import plain, spread_out, uneven, worst


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
    monkeypatch.setattr(gram_products, "_ROWS", 8)
    monkeypatch.setattr(gram_products, "_TEXTS", 50)
    monkeypatch.setattr(kl_variance, "_DIRECT_ELEMENTS", 1)
    kl, se = kl_with_standard_error(q)
    np.testing.assert_allclose(kl, whole_kl, rtol=1e-11)
    np.testing.assert_allclose(se, whole_se, rtol=1e-7)
    np.testing.assert_array_equal(kl, kl.T)
    np.testing.assert_array_equal(se, se.T)


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
