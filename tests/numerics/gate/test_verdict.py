"""A gate's pure decision: by the interval, honest about few texts, right at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.gate.verdict import (
    FAIL,
    PASS,
    UNDECIDED,
    combine,
    decide_increase,
    decide_kl,
)
from mlflow_modelmap.numerics.gate.words import few_texts, limit_sentence, verdict_sentence


def test_the_interval_decides_and_not_the_value():
    low, high = (float(end) for end in confidence_interval(0.1, 0.01))
    assert decide_kl(0.1, 0.01, high, 500).verdict == PASS
    assert decide_kl(0.1, 0.01, np.nextafter(high, 0), 500).verdict == UNDECIDED
    assert decide_kl(0.1, 0.01, low, 500).verdict == UNDECIDED
    assert decide_kl(0.1, 0.01, np.nextafter(low, 0), 500).verdict == FAIL
    assert decide_kl(0.1, 0.01, 0.1, 500).verdict == UNDECIDED


def test_more_confidence_decides_less():
    assert decide_kl(0.1, 0.01, 0.125, 500, 0.95).verdict == PASS
    assert decide_kl(0.1, 0.01, 0.125, 500, 0.999).verdict == UNDECIDED


@pytest.mark.parametrize("limit", [0.0, 1e-12, 1.0])
@pytest.mark.parametrize("texts", [2, 9, 29, 500])
def test_no_difference_passes_every_limit_on_any_texts(limit, texts):
    assert decide_kl(0.0, 0.0, limit, texts).verdict == PASS
    assert decide_increase(0.0, 0.0, limit, texts).verdict == PASS


def test_a_limit_of_zero_fails_any_difference():
    decision = decide_kl(1e-9, 1e-9, 0.0, 500)
    assert (decision.verdict, decision.texts_needed) == (FAIL, None)


def test_an_increase_is_judged_by_the_normal_interval():
    z = 1.959963984540054
    assert decide_increase(0.01, 0.001, 0.01 + z * 0.001 + 1e-12, 500).verdict == PASS
    assert decide_increase(0.01, 0.001, 0.01 + z * 0.001 - 1e-12, 500).verdict == UNDECIDED
    assert decide_increase(0.01, 0.001, 0.01 - z * 0.001 - 1e-12, 500).verdict == FAIL
    assert decide_increase(-0.01, 0.001, -0.005, 500).verdict == PASS  # asked to be better
    assert decide_increase(0.0, 0.001, -0.005, 500).verdict == FAIL


def test_texts_needed_are_those_whose_interval_just_decides():
    undecided = decide_kl(0.1, 0.02, 0.13, 400)
    needed = undecided.texts_needed
    assert undecided.verdict == UNDECIDED
    assert needed is not None
    assert 400 < needed < 1000
    enough = 0.02 * math.sqrt(400 / needed)
    assert decide_kl(0.1, enough, 0.13, needed).verdict == PASS
    assert decide_kl(0.1, enough * 1.1, 0.13, needed).verdict == UNDECIDED


def test_right_at_the_limit_no_number_of_texts_is_named():
    assert decide_kl(0.1, 0.02, 0.1, 400).texts_needed is None
    assert decide_kl(0.1, 0.02, 0.1001, 400).texts_needed is None
    assert decide_increase(0.1, 0.02, 0.1, 400).texts_needed is None


def test_few_texts_need_a_longer_interval_and_very_few_decide_nothing():
    assert decide_kl(0.1, 0.03, 0.2, 30).verdict == PASS
    assert decide_kl(0.1, 0.03, 0.2, 29).verdict == UNDECIDED
    assert decide_kl(0.1, 0.03, 0.2, 29).texts_needed == 30
    assert decide_kl(0.1, 0.001, 100.0, 10).verdict == PASS
    assert decide_kl(0.1, 0.001, 100.0, 9).verdict == UNDECIDED
    assert decide_increase(0.1, 0.001, 100.0, 9).verdict == UNDECIDED


@pytest.mark.parametrize("texts", [10, 15, 29])
def test_the_longer_interval_covers_also_with_heavy_tails(texts):
    random = np.random.default_rng(texts)
    true, covered = 5 / 3 / (2 * 100 * math.log(2)), 0
    for _ in range(600):
        difference = random.standard_t(5, texts)
        kl, se = kl_between(difference, np.zeros(texts), 100.0)
        decision = decide_kl(kl, se, 1.0, texts)
        covered += decision.low <= true <= decision.high
    assert covered / 600 > 0.95


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
        "The KL divergence's 95 % interval, 0.0822 to 0.122, is wholly above the limit 0.01."
    )
    assert verdict_sentence(FAIL, [failed]).startswith("Verdict: fail, because of the KL")
    open_ = decide_increase(0.004, 0.002, 0.005, 500)
    assert "on both sides of the limit 0.005" in limit_sentence(open_, 0.99)
    assert "7,700 such texts" in verdict_sentence(UNDECIDED, [open_])
    close = decide_kl(0.1, 0.01, 0.1, 500)
    assert "even 100 times as many" in verdict_sentence(UNDECIDED, [close])
    few = decide_kl(0.1, 0.001, 100.0, 5)
    assert limit_sentence(few, 0.95).endswith("within the limit 100, but comes from too few texts.")
    assert "about 30 such texts" in verdict_sentence(UNDECIDED, [few])
    zero = decide_kl(0.1, 0.01, 0.0, 5)
    assert limit_sentence(zero, 0.95).endswith("above the limit 0, but comes from too few texts.")
    assert "about 30 such texts" in verdict_sentence(UNDECIDED, [zero])


def test_a_small_text_set_is_said_by_its_size():
    assert "holds 9 texts, too few for any decision" in str(few_texts(9, "mine"))
    assert "only 29 texts, so the interval is taken 3 times" in str(few_texts(29, "mine"))
    assert "somewhat too short" in str(few_texts(199, "mine"))
    assert few_texts(200, "mine") is None
