"""The KL that arithmetic makes, from rounding that is made here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.divergence.noise_floor import (
    noise_kl,
    noise_sentence,
    pair_floor,
    within_noise,
)

BYTES = 1000.0


def test_the_floor_of_a_pair_is_what_rounding_adds_to_its_kl():
    random = np.random.default_rng(0)
    texts = 200_000
    size = np.full(texts, BYTES)
    true = random.normal(-700, 50, (2, texts))
    true[1] = true[0] + random.normal(0, 0.3, texts)
    rounding = (0.2, 0.5)  # nats a text, of either model

    def score(model: int) -> np.ndarray:
        return true[model] + random.normal(0, rounding[model], texts)

    noise = [noise_kl(score(model), score(model), size)[0] for model in (0, 1)]
    # Two scores of one model differ by two roundings.
    assert noise == pytest.approx(
        [2 * s**2 / (2 * BYTES * math.log(2)) for s in rounding], rel=0.02
    )
    measured, exact = kl_between(score(0), score(1), BYTES)[0], kl_between(*true, BYTES)[0]
    assert measured - exact == pytest.approx(pair_floor(*noise), rel=0.03)


def test_few_texts_give_the_right_floor_on_average():
    random = np.random.default_rng(1)
    first, second = random.normal(0, 0.1, (2, 4000, 5))
    found = [noise_kl(a, b, np.full(5, BYTES))[0] for a, b in zip(first, second, strict=True)]
    assert np.mean(found) == pytest.approx(2 * 0.01 / (2 * BYTES * math.log(2)), rel=0.05)


def test_its_error_says_how_far_twenty_texts_are_off():
    random = np.random.default_rng(2)
    drawn = random.normal(0, 1, (3000, 2, 20))
    found = np.array([noise_kl(a, b, np.full(20, BYTES)) for a, b in drawn])
    assert np.mean(found[:, 1]) == pytest.approx(np.std(found[:, 0]), rel=0.2)
    floor = 2 / (2 * BYTES * math.log(2))
    assert np.mean(found[:, 0] > 2 * floor) < 0.01  # what "twice the floor" allows for


def test_what_was_not_measured_counts_as_nothing_beside_what_was():
    assert pair_floor(2e-5, 4e-5) == pytest.approx(3e-5)
    assert pair_floor(2e-5, None) == pair_floor(math.nan, 2e-5) == pytest.approx(1e-5)
    assert math.isnan(pair_floor(None, None))
    assert pair_floor(None, 0.0) == 0.0


def test_within_the_noise_is_below_twice_the_floor():
    assert within_noise(1.99e-5, 1e-5)
    assert not within_noise(2e-5, 1e-5)
    assert not within_noise(0.0, 0.0)
    assert not within_noise(0.0, math.nan)
    assert "about 1e-05 bits/byte" in noise_sentence(1e-5)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="text 1 are"):
        noise_kl([0.0, math.nan, 0.0], [0.0, 0.0, 0.0], [10, 10, 10])
