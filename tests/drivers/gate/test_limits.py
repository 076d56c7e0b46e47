"""What a gate asks of a candidate: refused at once where impossible, then decided one by one."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.gate.limits import Limits
from mlflow_modelmap.drivers.pair.comparison import Comparison


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "needs a limit"),
        ({"confidence": 0.9}, "needs a limit"),
        ({"max_kl": -0.1}, "of -0.1 is not possible"),
        ({"max_bits_per_byte_increase": float("inf")}, "increase of inf"),
        ({"max_kl": 0.1, "confidence": 1.0}, "confidence level of 1.0"),
    ],
)
def test_what_is_impossible_is_refused_before_anything_is_measured(asked, words):
    with pytest.raises(InputError, match=words):
        Limits(**asked)


def test_each_limit_is_decided_by_its_own_measure():
    measured = Comparison.of_kl(
        0.1, 0.01, bits_per_byte_difference=0.5, bits_per_byte_difference_se=0.01
    )
    decided = Limits(max_kl=0.2, max_bits_per_byte_increase=0.2).decide(measured, 500)
    assert [(of.quantity, of.limit, of.verdict) for of in decided] == [
        ("kl", 0.2, "pass"),
        ("bits_per_byte_increase", 0.2, "fail"),
    ]
    (only,) = Limits(max_kl=0.1).decide(measured, 500)
    assert (only.quantity, only.value, only.verdict) == ("kl", 0.1, "undecided")
