"""Sums of exact divergences: known answers, and errors that a simulation agrees with."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.exact.summary import known_ratio, summary
from mlflow_modelmap.numerics.matrix.ratio import ratio_and_error


def test_two_unigram_models_have_their_kl_in_both_directions_and_samples_agree():
    rng = np.random.default_rng(0)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    forward, reverse = (p * np.log(p / q)).sum(), (q * np.log(q / p)).sum()
    tokens = rng.integers(20, 40, 4000)
    drawn = rng.choice(3, tokens.sum(), p=p)
    flat = np.ones(tokens.sum())
    told = summary(
        tokens=tokens,
        size=tokens * 4,
        forward=forward * flat,
        reverse=reverse * flat,
        js=0 * flat,
        first=np.log(p)[drawn],
        second=np.log(q)[drawn],
        agree=flat.astype(bool),
        vocabulary=3,
    )
    unit = 4 * np.log(2)
    assert told.forward == pytest.approx(forward / unit)
    assert told.reverse == pytest.approx(reverse / unit)
    assert told.forward_se == pytest.approx(0, abs=1e-12)
    # Text drawn from A: the mean of l_A - l_B is KL(A || B).
    difference = told.bits_per_byte_second - told.bits_per_byte_first
    spread = np.log(p / q).std() / np.sqrt(tokens.sum()) / unit
    assert abs(difference - told.forward) < 4 * spread
    assert told.perplexity_ratio == pytest.approx(np.exp(forward), rel=0.02)
    assert told.top1 == 1
    assert told.token_percentiles[50.0] == pytest.approx(forward)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_error_is_the_spread_of_the_ratio_over_samples(clustered):
    rng = np.random.default_rng(1)
    found, errors = [], []
    for _ in range(600):
        size = rng.integers(50, 150, 240).astype(float)
        owner = np.repeat(np.arange(60), 4)
        shared = rng.normal(size=60)[owner] if clustered else rng.normal(size=240)
        ratio, error = ratio_and_error(
            size * (1 + 0.4 * shared + 0.2 * rng.normal(size=240)),
            size,
            documents=owner if clustered else None,
        )
        found.append(ratio)
        errors.append(error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found), rel=0.08)


def test_few_texts_have_no_error_and_shapes_are_refused():
    ratio, error = ratio_and_error([1.0, 2.0], [1.0, 1.0], documents=np.array([7, 7]))
    assert ratio == 1.5
    assert np.isnan(error)
    for texts, known in ((9, False), (10, True)):
        ratio, error = known_ratio(np.arange(texts), np.ones(texts))
        assert np.isfinite(error) == known
    assert known_ratio(np.zeros(3), np.ones(3)) == (0.0, 0.0)
    with pytest.raises(InputError, match="do not fit together"):
        ratio_and_error([1.0], [1.0, 2.0])
