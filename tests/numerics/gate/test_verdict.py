"""A gate's pure decision: by the interval, honest about few texts, right at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.gate.verdict import (
    FAIL,
    PASS,
    UNDECIDED,
    combine,
    decide_increase,
    decide_kl,
)
from mlflow_modelmap.numerics.gate.words import (
    few_texts,
    limit_sentence,
    unseen,
    verdict_sentence,
)


def test_the_interval_decides_and_not_the_value():
    low, high = (float(end) for end in confidence_interval(0.1, 0.01))
    assert decide_kl(0.1, 0.01, high, 500).verdict == PASS
    assert decide_kl(0.1, 0.01, np.nextafter(high, 0), 500).verdict == UNDECIDED
    assert decide_kl(0.1, 0.01, low, 500).verdict == UNDECIDED
    assert decide_kl(0.1, 0.01, np.nextafter(low, 0), 500).verdict == FAIL
    assert decide_kl(0.1, 0.01, 0.1, 500).verdict == UNDECIDED


def test_more_confidence_decides_less():
    assert decide_kl(0.1, 0.01, 0.136, 500, 0.95).verdict == PASS
    assert decide_kl(0.1, 0.01, 0.136, 500, 0.999).verdict == UNDECIDED


@pytest.mark.parametrize("limit", [0.0, 1e-12, 1.0])
@pytest.mark.parametrize("texts", [2, 9, 29, 500])
def test_no_difference_passes_every_limit_on_any_texts(limit, texts):
    assert decide_kl(0.0, 0.0, limit, texts).verdict == PASS
    assert decide_increase(0.0, 0.0, limit, texts).verdict == PASS


def test_a_limit_of_zero_fails_any_difference():
    decision = decide_kl(1e-9, 1e-9, 0.0, 500)
    assert (decision.verdict, decision.texts_needed) == (FAIL, None)


def test_an_increase_is_judged_by_student_s_interval():
    z = stats.t.ppf(0.975, 499)
    assert decide_increase(0.01, 0.001, 0.01 + z * 0.001 + 1e-12, 500).verdict == PASS
    assert decide_increase(0.01, 0.001, 0.01 + z * 0.001 - 1e-12, 500).verdict == UNDECIDED
    assert decide_increase(0.01, 0.001, 0.01 - z * 0.001 - 1e-12, 500).verdict == FAIL
    assert decide_increase(-0.01, 0.001, -0.005, 500).verdict == PASS  # asked to be better
    assert decide_increase(0.0, 0.001, -0.005, 500).verdict == FAIL


def test_on_the_texts_that_are_named_four_of_five_gates_decide():
    """By simulation: as many normal differences as were named, around the same KL."""
    undecided = decide_kl(0.1, 0.1 * math.sqrt(2 / 40), 0.15, 40)
    needed = undecided.texts_needed
    assert undecided.verdict == UNDECIDED
    assert needed is not None
    difference = np.random.default_rng(1).standard_normal((4000, needed))
    kl = 0.1 * difference.var(axis=1)
    se = 0.1 * ((difference - difference.mean(axis=1, keepdims=True)) ** 2).std(axis=1)
    _, high = confidence_interval(kl, se / math.sqrt(needed))
    assert 0.76 < np.mean(high <= 0.15) < 0.86
    assert decide_kl(0.1, 0.1 * math.sqrt(2 / needed), 0.15, needed).verdict == PASS


def test_a_skewed_increase_needs_more_texts_on_the_side_of_its_tail():
    plain = decide_increase(0.0, 0.01, 0.015, 100)
    above = decide_increase(0.0, 0.01, 0.015, 100, skewness=0.3)
    below = decide_increase(0.0, 0.01, 0.015, 100, skewness=-0.3)
    assert plain.texts_needed is not None
    assert above.texts_needed is not None
    assert above.texts_needed > plain.texts_needed == below.texts_needed
    assert above.high > plain.high == below.high
    assert plain.texts_needed == pytest.approx(100 * ((1.967 + 0.842) / 1.5) ** 2, rel=0.03)
    fewer = decide_increase(0.0, 0.01, 0.019, 100, effective=12.0)
    assert fewer.high == pytest.approx(0.01 * stats.t.ppf(0.975, 11))


def test_right_at_the_limit_no_number_of_texts_is_named():
    assert decide_kl(0.1, 0.02, 0.1, 400).texts_needed is None
    assert decide_kl(0.1, 0.02, 0.1001, 400).texts_needed is None
    assert decide_increase(0.1, 0.02, 0.1, 400).texts_needed is None


def test_one_text_more_changes_little_and_very_few_decide_nothing():
    ends = [decide_kl(0.1, 0.03, 1.0, texts).high for texts in range(10, 60)]
    assert len(set(ends)) == 1
    ends = [decide_increase(0.1, 0.03, 1.0, texts).high for texts in range(10, 60)]
    assert 0 < max(np.diff(ends) * -1) < 0.003
    assert decide_kl(0.1, 0.001, 100.0, 10).verdict == PASS
    for decide in (decide_kl, decide_increase):
        for se in (0.001, math.nan):
            decision = decide(0.1, se, 100.0, 9)
            assert (decision.verdict, decision.texts_needed) == (UNDECIDED, 30)
            assert math.isnan(decision.low)
            assert math.isnan(decision.high)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((PASS, PASS), PASS),
        ((PASS, UNDECIDED), UNDECIDED),
        ((UNDECIDED, FAIL), FAIL),
        ((PASS, FAIL), FAIL),
    ],
)
def test_several_limits_combine(verdicts, expected):
    assert combine(verdicts) == expected


def test_impossible_questions_are_refused():
    with pytest.raises(InputError, match=r"largest KL divergence of -0\.1"):
        decide_kl(0.1, 0.01, -0.1, 500)
    with pytest.raises(InputError, match="largest KL divergence of nan"):
        decide_kl(0.1, 0.01, math.nan, 500)
    with pytest.raises(InputError, match="largest increase of inf"):
        decide_increase(0.1, 0.01, math.inf, 500)
    for decide in (decide_kl, decide_increase):
        with pytest.raises(InputError, match=r"confidence level of 95\.0"):
            decide(0.1, 0.01, 0.5, 500, 95.0)
    with pytest.raises(InputError, match="needs a limit"):
        combine(())


def test_sentences_say_interval_limit_and_remedy():
    failed = decide_kl(0.1, 0.01, 0.01, 500)
    assert limit_sentence(failed, 0.95) == (
        "The KL divergence's 95 % interval, 0.0822 to 0.134, is wholly above the limit 0.01."
    )
    assert verdict_sentence(FAIL, [failed]).startswith("Verdict: fail, because of the KL")
    open_ = decide_increase(0.004, 0.002, 0.005, 500)
    assert "on both sides of the limit 0.005" in limit_sentence(open_, 0.99)
    # ((1.96 + 0.84) 0.002 / 0.001)^2 = 31.4 times 500
    assert "16,000 such texts would decide it in four of five cases" in verdict_sentence(
        UNDECIDED, [open_]
    )
    close = decide_kl(0.1, 0.01, 0.1, 500)
    assert "even 100 times as many" in verdict_sentence(UNDECIDED, [close])
    few = decide_kl(0.1, 0.001, 100.0, 5)
    assert limit_sentence(few, 0.95) == (
        "The KL divergence has no interval: it comes from too few texts to be held against the "
        "limit 100."
    )
    assert "about 30 such texts" in verdict_sentence(UNDECIDED, [few])
    few = decide_increase(0.1, 0.001, 0.0, 5)
    assert limit_sentence(few, 0.95).startswith("The change of the bits per byte, 0.1000 ± 0.0010,")


def test_what_a_limit_on_the_kl_alone_leaves_unseen_is_said_where_it_is_no_noise():
    said = unseen(0.0161, 0.0009, 0.0144, 0.0178)
    assert said is not None
    assert "needs more bits per byte (0.01610 ± 0.00090)" in said
    assert "fewer bits" in str(unseen(-0.0161, 0.0009, -0.0178, -0.0144))
    assert unseen(0.0161, 0.01, -0.004, 0.036) is None
    assert unseen(0.0161, math.nan, math.nan, math.nan) is None


def test_a_small_text_set_is_said_by_its_size():
    assert "holds 9 texts, too few for any decision" in str(few_texts(9, "mine"))
    assert "only 29 texts: the interval is long" in str(few_texts(29, "mine"))
    assert few_texts(30, "mine") is None
