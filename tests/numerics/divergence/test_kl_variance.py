"""Estimators of a KL and of its variance: what weights mean, bias, and the spread over samples."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import (
    kl_between,
)

ONE_BIT = 1 / (2 * np.log(2))  # mean bytes for which KL is just the variance of the difference


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
    assert 0.935 < np.mean((low <= truth) & (truth <= high)) < 0.985
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


def test_a_weighted_error_is_not_that_of_repeated_texts_which_say_nothing_new():
    rng = np.random.default_rng(0)
    one, other = rng.normal(-600.0, 100.0, (2, 200))
    times = np.full(200, 4)
    weighted = kl_between(one, other, 900.0, weights=times)
    repeated = kl_between(np.repeat(one, times), np.repeat(other, times), 900.0)
    assert weighted[0] == pytest.approx(repeated[0])
    assert weighted[1] == pytest.approx(2.0 * repeated[1])
