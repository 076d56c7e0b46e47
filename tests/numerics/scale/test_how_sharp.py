"""How sharply a KL is known, in words."""

import math

import pytest

from mlflow_modelmap.numerics.scale.how_sharp import how_sharp, known_within


@pytest.mark.parametrize(
    ("share", "words"),
    [
        # exp(1.959964 g (1 + 5 g)), rounded up
        (0.001, "known to within a factor of 1.01"),
        (0.1, "known to within a factor of 1.4"),
        (0.3, "known to within a factor of 4.4"),
        (0.5, "known to within a factor of 31"),
        (1.0, "hardly known, because so few texts carry it"),
        (math.inf, "hardly known, because so few texts carry it"),
        (math.nan, "of unknown precision"),
    ],
)
def test_the_factor_is_that_of_the_interval_s_upper_end(share, words):
    assert known_within(0.3, 0.3 * share) == words
    assert known_within(3e-9, 3e-9 * share) == words


def test_how_few_texts_carry_it():
    said = how_sharp(0.1, 0.01, texts=500, half_in=3)
    assert said == "known to within a factor of 1.4; half of it lies in 3 of 500 texts"
    of_responses = how_sharp(0.1, 0.01, texts=500, half_in=1, unit="responses")
    assert of_responses.endswith("; half of it lies in 1 response of 500")
    assert how_sharp(0.1, 0.01, texts=10_000, half_in=1).endswith("lies in 1 text of 10,000")
    assert how_sharp(0.1, 0.01, half_in=None) == "known to within a factor of 1.4"
    assert how_sharp(0.1, 0.01, texts=9, half_in=2).startswith("of unknown precision; half of it")
    assert how_sharp(0.0, 0.0, texts=9, half_in=0) == "known exactly on these texts"
