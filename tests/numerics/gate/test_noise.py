"""Nothing fails for what arithmetic may have made."""

from __future__ import annotations

import math
from dataclasses import replace

from mlflow_modelmap.numerics.gate.noise import spared
from mlflow_modelmap.numerics.gate.verdict import FAIL, PASS, UNDECIDED, decide_kl
from mlflow_modelmap.numerics.gate.words import verdict_sentence


def test_a_kl_within_the_noise_cannot_fail():
    failed = decide_kl(1e-4, 1e-6, 1e-5, 1000)
    assert failed.verdict == FAIL
    found = spared(failed, 6e-5)
    assert (found.verdict, found.within_noise, found.texts_needed) == (UNDECIDED, True, None)
    said = verdict_sentence(found.verdict, [found])
    assert "within the noise of the scores" in said
    assert "float32" in said


def test_it_may_pass_and_what_is_above_the_noise_is_as_it_was():
    passed = decide_kl(1e-4, 1e-6, 1e-2, 1000)
    assert spared(passed, 6e-5) == replace(passed, within_noise=True)
    assert spared(passed, 6e-5).verdict == PASS
    failed = decide_kl(1e-4, 1e-6, 1e-5, 1000)
    for floor in (4e-5, 0.0, math.nan):
        assert spared(failed, floor) is failed
