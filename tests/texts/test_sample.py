"""A sample is a function of seed and texts alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.sample import random_numbers, sample, sampled
from mlflow_modelmap.texts.text_set import TextSet

TEXTS = tuple(f"text {number}" for number in range(300))
SET = TextSet(
    "all", TEXTS, tuple(f"d{n % 3}" for n in range(300)), tuple(map(float, range(1, 301)))
)


def test_a_known_sample():
    assert sampled(["a", "b", "c", "d", "e", "f"], 3, 0) == [0, 1, 3]
    assert sampled(["a", "b", "c", "d", "e", "f"], 3, 1) == [1, 3, 4]


def test_texts_keep_their_order_domains_and_weights():
    chosen = sample(SET, 40, seed=5)
    assert len(chosen) == 40
    at = [TEXTS.index(text) for text in chosen.texts]
    assert at == sorted(at)
    assert chosen.domains == tuple(SET.domains[index] for index in at)
    assert chosen.weights == tuple(SET.weights[index] for index in at)
    assert chosen.name == "all"


def test_the_order_of_the_texts_does_not_choose():
    shuffled = list(TEXTS)
    random.Random(1).shuffle(shuffled)
    one = {TEXTS[index] for index in sampled(TEXTS, 40, 5)}
    other = {shuffled[index] for index in sampled(shuffled, 40, 5)}
    assert one == other


def test_a_smaller_sample_lies_within_a_larger_one():
    assert set(sampled(TEXTS, 10, 2)) < set(sampled(TEXTS, 60, 2))
    assert sampled(TEXTS, 300, 2) == list(range(300))


def test_every_text_has_the_same_chance():
    counts = np.bincount(np.concatenate([sampled(TEXTS, 60, s) for s in range(400)]), minlength=300)
    expected, spread = 400 / 5, np.sqrt(400 * 0.2 * 0.8)
    assert np.abs(counts - expected).max() < 4.5 * spread
    assert 0.8 < counts.std() / spread < 1.2


def test_copies_of_a_text_are_drawn_apart():
    chosen = [sampled(["a"] * 10 + ["b"] * 10, 10, seed) for seed in range(20)]
    assert any(0 < sum(index < 10 for index in indices) < 10 for indices in chosen)


@pytest.mark.parametrize("size", [0, -1, 301])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(InputError, match=f"A sample of {size} texts"):
        sample(SET, size)


def test_numbers_of_texts_are_uniform_and_have_nothing_to_do_with_the_sample():
    texts = [f"text {k}" for k in range(2000)]
    numbers = random_numbers(texts, 0)
    assert ((numbers > 0) & (numbers < 1)).all()
    assert abs(numbers.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
    assert abs(np.mean(numbers < 0.1) - 0.1) < 0.03
    kept = sampled(texts, 500, 0)
    assert abs(numbers[kept].mean() - 0.5) < 4 / np.sqrt(12 * 500)
    np.testing.assert_array_equal(random_numbers(texts[::-1], 0), numbers[::-1])
    assert abs(np.corrcoef(numbers, random_numbers(texts, 1))[0, 1]) < 0.1
    assert len(set(random_numbers(["a", "a", "b"], 0))) == 3
