"""Fewer, weighted texts: the probabilities against plain sums, and estimates that are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.resampling import (
    DEFENSIVE,
    METHODS,
    draw,
    error_by_text,
    importance,
    inclusion_probabilities,
    relative_errors,
    variance_ratio,
)

BYTES = 1000


def matrix(values, weights=None):
    texts = values.shape[1]
    names = tuple(f"m{k}" for k in range(len(values)))
    return LogLikelihoodMatrix(values, names, np.full(texts, BYTES), weights)


def heavy(models, texts, rng, spread=0.7):
    """Models that differ by 10 nats times the scale of the text, which varies log-normally."""
    scale = np.exp(spread * rng.standard_normal(texts))
    return -600.0 + 10.0 * scale * rng.standard_normal((models, texts)), scale


def truth_of_heavy(spread=0.7):
    return 2 * 100.0 * np.exp(2 * spread**2) / (2 * BYTES * np.log(2))


def resample(on, size, method, rng):
    """Texts chosen by some models, and their weights."""
    inclusion = inclusion_probabilities(importance(coordinates(on), method, on.shares), size)
    chosen = draw(inclusion, rng.random(inclusion.size))
    before = 1.0 if on.weights is None else on.weights[chosen]
    return chosen, before / inclusion[chosen]


def measure(of, chosen, weights):
    part = of.keep_texts(chosen)
    part = LogLikelihoodMatrix(part.values, part.points, part.text_bytes, weights)
    kl, se = kl_with_standard_error(coordinates(part), part.shares)
    above = np.triu_indices(len(kl), 1)
    return kl[above], se[above]


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 7), st.integers(2, 20), st.booleans(), st.integers(0, 10_000))
def test_the_error_of_a_text_is_the_plain_sum_over_pairs(points, texts, weighted, seed):
    rng = np.random.default_rng(seed)
    weights = rng.gamma(1.0, size=texts) + 0.01 if weighted else None
    given = matrix(rng.normal(-600.0, 50.0, (points, texts)), weights)
    q, shares = coordinates(given), given.shares
    a = np.full(texts, 1 / texts) if shares is None else shares
    plain = np.zeros(texts)
    for i in range(points):
        for j in range(i):
            square = (q[i] - q[j]) ** 2
            plain += (square - a * square.sum()) ** 2
    kl, se = kl_with_standard_error(q, shares)
    # What is left of terms of this size that cancel.
    least = 1e-12 * np.sum(kl**2)
    np.testing.assert_allclose(error_by_text(q, shares), plain, rtol=1e-6, atol=least)
    expected = pytest.approx(np.sum(se**2) / 2, rel=1e-6, abs=least)
    assert error_by_text(q, shares).sum() == expected


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(3, 30), st.integers(0, 10_000))
def test_no_other_probabilities_make_the_summed_error_smaller_than_those_of_kl(points, texts, seed):
    rng = np.random.default_rng(seed)
    q = coordinates(matrix(heavy(points, texts, rng)[0]))
    error = error_by_text(q)
    best = (importance(q) - DEFENSIVE / texts) / (1 - DEFENSIVE)
    other = rng.dirichlet(np.ones(texts))
    bent = 0.9 * best + 0.1 * other
    assert best.sum() == pytest.approx(1.0)
    with np.errstate(divide="ignore"):
        for p in (other, bent):
            assert np.sum(error / best) <= np.sum(error / p) * (1 + 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_add_up_and_leave_no_text_out(method):
    rng = np.random.default_rng(0)
    weights = rng.gamma(1.0, size=200) + 0.01
    given = matrix(heavy(5, 200, rng)[0], weights)
    given.values[:, 7] = -500.0  # no model differs on it
    q = coordinates(given)
    found = importance(q, method, given.shares)
    assert found.sum() == pytest.approx(1.0)
    after = given.shares / found
    if method != "uniform":
        assert after.max() <= 1 / DEFENSIVE
    assert (found > 0).all()


def test_methods_are_what_they_say():
    q = coordinates(matrix(heavy(5, 50, np.random.default_rng(0))[0]))
    length = np.sum(q * q, axis=0)
    expected = (1 - DEFENSIVE) * length / length.sum() + DEFENSIVE / 50
    np.testing.assert_allclose(importance(q, "length-squared"), expected)
    np.testing.assert_array_equal(importance(q, "uniform"), np.full(50, 1 / 50))


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000), st.data())
def test_inclusion_probabilities_add_up_to_the_size(texts, seed, data):
    size = data.draw(st.integers(2, texts))
    wanted = np.random.default_rng(seed).gamma(0.2, size=texts) + 1e-9
    found = inclusion_probabilities(wanted / wanted.sum(), size)
    assert found.sum() == pytest.approx(size)
    assert ((found > 0) & (found <= 1)).all()
    below = found < 1
    if below.any():
        ratio = found[below] / wanted[below]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        # A text that is chosen for sure would otherwise have been wanted more than once.
        assert (wanted[~below] * ratio[0] >= 1 - 1e-9).all()


def test_choices_have_the_size_and_about_the_probabilities_asked_for():
    rng = np.random.default_rng(0)
    wanted = rng.gamma(0.7, size=40) + 0.02
    inclusion = inclusion_probabilities(wanted / wanted.sum(), 12)
    assert (inclusion == 1).any()
    count = np.zeros(40)
    for _ in range(4000):
        chosen = draw(inclusion, rng.random(40))
        assert len(set(chosen.tolist())) == 12
        assert (np.diff(chosen) > 0).all()
        count[chosen] += 1
    assert (count[inclusion == 1] == 4000).all()
    error = 4 * np.sqrt(inclusion * (1 - inclusion) / 4000)
    assert (np.abs(count / 4000 - inclusion) < error + 0.02 * inclusion).all()


def test_a_smaller_choice_lies_mostly_within_a_larger_one_of_the_same_numbers():
    rng = np.random.default_rng(0)
    p = importance(coordinates(matrix(heavy(5, 1000, rng)[0])))
    numbers = rng.random(1000)
    small, large = (set(draw(inclusion_probabilities(p, n), numbers)) for n in (50, 200))
    assert len(small & large) > 48


@pytest.mark.parametrize("method", METHODS)
def test_kl_of_other_models_is_right_and_its_intervals_cover(method):
    """Texts chosen by some models, others measured on them, for the population of all texts."""
    rng = np.random.default_rng(1)
    truth, kls, ses = truth_of_heavy(0.4), [], []
    for _ in range(150):
        values, _ = heavy(12, 1500, rng, 0.4)
        chosen, weights = resample(matrix(values[:6]), 300, method, rng)
        kl, se = measure(matrix(values[6:]), chosen, weights)
        kls.append(kl)
        ses.append(se)
    kl, se = np.array(kls), np.array(ses)
    assert abs(kl.mean() / truth - 1) < 0.02
    assert np.sqrt(np.mean(se**2)) == pytest.approx(np.sqrt(np.mean((kl - truth) ** 2)), rel=0.15)
    low, high = confidence_interval(kl, se)
    assert 0.92 < np.mean((low <= truth) & (truth <= high)) < 0.98
    # Without the weights nothing is right, so the weights are what makes it so.
    if method != "uniform":
        bare, _ = measure(matrix(values[6:]), chosen, None)
        assert bare.mean() > 1.2 * truth


def test_heavier_tails_cost_less_than_at_random():
    """Intervals cover whatever the texts; those of chosen texts are far shorter for it."""
    rng = np.random.default_rng(5)
    truth, covered, length = truth_of_heavy(), {}, {}
    for method in METHODS:
        inside, ratios = [], []
        for _ in range(60):
            values, _ = heavy(12, 1500, rng)
            low, high = confidence_interval(
                *measure(matrix(values[6:]), *resample(matrix(values[:6]), 100, method, rng))
            )
            inside.append((low <= truth) & (truth <= high))
            ratios.append(np.log(high / low))
        covered[method], length[method] = np.mean(inside), np.median(ratios)
    assert min(covered.values()) > 0.93
    assert length["kl"] < 0.8 * length["uniform"]


def test_the_error_shrinks_as_foretold():
    rng = np.random.default_rng(2)
    values, _ = heavy(12, 4000, rng)
    on, others = matrix(values[::2]), matrix(values[1::2])
    whole, _ = measure(others, np.arange(4000), None)
    square = {}
    for method in METHODS:
        found = [measure(others, *resample(on, 200, method, rng))[0] for _ in range(150)]
        square[method] = np.mean((np.array(found) / whole - 1) ** 2)
    for method in ("kl", "length-squared"):
        foretold = variance_ratio(coordinates(matrix(values)), method, 200)
        assert square[method] / square["uniform"] == pytest.approx(foretold, rel=0.3)
        assert foretold < 0.6
    assert variance_ratio(coordinates(on), "uniform", 200) == pytest.approx(1.0)


def test_texts_that_are_weighted_already_still_stand_for_their_population():
    """Half of the sample comes from a domain that makes a tenth of the population."""
    rng = np.random.default_rng(3)
    found = []
    truth = (0.9 * 1.0 + 0.1 * 16.0) * 2 * 100.0 / (2 * BYTES * np.log(2))
    for _ in range(150):
        rare = rng.random(1200) < 0.5
        values = -600.0 + 10.0 * np.where(rare, 4.0, 1.0) * rng.standard_normal((8, 1200))
        weights = np.where(rare, 0.1, 0.9)
        chosen, own = resample(matrix(values[:4], weights), 300, "kl", rng)
        found.append(measure(matrix(values[4:]), chosen, own)[0])
    assert np.mean(found) / truth == pytest.approx(1.0, abs=0.02)


def test_foretold_relative_errors_are_those_that_are_measured():
    rng = np.random.default_rng(4)
    values, _ = heavy(5, 400, rng)
    for weights in (None, rng.gamma(1.0, size=400) + 0.05):
        given = matrix(values, weights)
        chosen, own = resample(given, 100, "kl", rng)
        kl, se = measure(given, chosen, own)
        found = relative_errors(coordinates(given), chosen, own, given.shares)
        np.testing.assert_allclose(found, se / kl, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: importance(np.ones((3, 4)), "random"), "'random' is unknown; choose one of kl"),
        (lambda: importance(np.zeros((3, 4))), "do not differ on any text"),
        (lambda: importance(np.zeros((3, 4)), "length-squared"), "do not differ on any text"),
        (lambda: inclusion_probabilities(np.full(4, 0.25), 5), "5 of 4 texts cannot be chosen"),
        (lambda: inclusion_probabilities(np.full(4, 0.25), 1), "give a size from 2 to 4"),
    ],
)
def test_what_cannot_be_chosen_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
