"""KL read out in words on the paper's scale."""

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale import in_words as module
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.numerics.scale.paper_scale import PAPER_SCALE

RULER = [row for row in PAPER_SCALE if row.group not in ("8-bit", "4-bit")]


@pytest.mark.parametrize("row", RULER, ids=lambda row: row.group)
def test_a_median_of_the_paper_is_called_by_its_setting(row):
    assert in_words(row.median).startswith(f"about {row.phrase}; ")


@pytest.mark.parametrize(
    ("kl", "words"),
    [
        (0.0, "no difference at all: on every text the two agree, up to one constant"),
        (1e-14, "less than a billionth of the change of 1k steps late in Pythia's pretraining"),
        (1e-4, "about a hundredth of the change of 1k steps late in Pythia's pretraining"),
        (
            0.07,
            "about the change of 1k steps early in Pythia's pretraining; "
            "a sixth of the effect of fine-tuning",
        ),
        (
            0.22,
            "about half the effect of fine-tuning; "
            "a tenth of the difference between two models taken at random",
        ),
        (
            4.4,
            "about twice the difference between two models taken at random; "
            "ten times the effect of fine-tuning",
        ),
        (
            22.0,
            "about ten times the difference between two models taken at random; "
            "more than the 8 bits that a byte holds",
        ),
        (
            1e4,
            "about 5,000 times the difference between two models taken at random; "
            "more than the 8 bits that a byte holds",
        ),
    ],
)
def test_a_kl_in_words(kl, words):
    assert in_words(kl) == words


def test_a_large_error_is_said_as_the_factor_within_which_the_size_is_known():
    assert in_words(0.1, 0.01) == in_words(0.1)
    assert in_words(0.1, 0.04) == in_words(0.1).replace("about ", "roughly ", 1)
    # exp(1.96 * 0.6 * (1 + 5 * 0.6)) = 110.3
    assert (
        in_words(0.1, 0.06) == f"{in_words(0.1, 0.04)}; its size is known to within a factor of 111"
    )
    assert in_words(0.1, float("inf")).endswith(
        "; its size is hardly known, because so few texts carry it"
    )
    assert in_words(0.1, float("nan")) == in_words(0.1, 0.04)
    assert in_words(0.0, 0.0) == in_words(0.0)


@given(st.floats(1e-5, 1e3))
def test_no_kl_is_told_by_the_papers_quantised_copies(kl):
    assert "quantis" not in in_words(kl)


OWN = (
    OwnGroup(0.0135, "your int8 copies are from their originals"),
    OwnGroup(0.142, "your nf4 copies are from their originals"),
)


@pytest.mark.parametrize(
    ("kl", "words"),
    [
        (
            0.14,
            "about as far as your nf4 copies are from their originals; "
            "the difference between two random seeds of Pythia",
        ),
        (
            0.03,
            "about twice as far as your int8 copies are from their originals; "
            "half the change of 1k steps early in Pythia's pretraining",
        ),
        (
            0.0045,
            "about a third as far as your int8 copies are from their originals; "
            "half the change of 1k steps late in Pythia's pretraining",
        ),
        (
            12.0,
            "about 80 times as far as your nf4 copies are from their originals; "
            "more than the 8 bits that a byte holds",
        ),
    ],
)
def test_ones_own_scale_comes_first(kl, words):
    assert in_words(kl, own=OWN) == words


def test_ones_own_scale_is_left_out_where_it_is_out_of_reach():
    for kl in (1e-6, 100.0):
        assert in_words(kl, own=OWN) == in_words(kl)
    assert in_words(0.1, own=[OwnGroup(0.0, "nothing is from nothing")]) == in_words(0.1)


@given(st.floats(1e-300, 1e300))
def test_every_kl_reads_as_a_phrase(kl):
    words = in_words(kl)
    assert re.fullmatch(r"(about|less than|more than) [a-z0-9,;' P-]+[a-z0-9]", words)
    assert "  " not in words
    assert not re.search(r"\b(one|0|1) times|of of|times of", words)
    assert words.count(";") <= 1


@given(st.floats(1e-5, 1e5))
def test_what_the_words_say_is_near_the_number(kl):
    """The leading multiple and the setting that it multiplies give the KL back."""
    first = in_words(kl).split("; ")[0]
    row = next(row for row in RULER if first.endswith(row.phrase))
    multiple = first.removeprefix("about ").removesuffix(row.phrase)
    if "than" in multiple:
        assert kl < 0.007 * row.median or kl > 1e6 * row.median
        return
    digits = re.match(r"([\d,]+) times", multiple)
    factor = (
        float(digits[1].replace(",", ""))
        if digits
        else next(value for value, words in module._MULTIPLES if words == multiple)
    )
    assert 0.65 < kl / (factor * row.median) < 1.55


@pytest.mark.parametrize("kl", [-0.1, float("nan"), float("inf")])
def test_what_is_no_kl_is_refused(kl):
    with pytest.raises(InputError, match="cannot be read out"):
        in_words(kl)


def test_what_is_no_error_is_refused():
    with pytest.raises(InputError, match="standard error of"):
        in_words(0.1, -0.1)


def test_the_example_in_the_docstring():
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted == 2
