"""The second-order estimate beside exact KL: right near by, and the exact KL is exact."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy

SCRIPT = runpy.run_path(str(Path(__file__).parent.parent.parent / "benchmarks" / "second_order.py"))


def test_near_by_it_is_right_and_far_off_it_is_not():
    rows = SCRIPT["rows"](reduced=True)
    at = {(r["kind"], r["from_texts"], r["apart"]): r for r in rows}
    for kind in dict.fromkeys(r["kind"] for r in rows):
        near = at[kind, 0.001, 0.0001]
        assert 0.9 < near["low"] <= near["median"] <= near["high"] < 1.1
        assert max(r["most"] for r in rows if r["kind"] == kind) > 2


def test_token_models_are_as_far_as_asked_and_their_kl_is_scipys():
    random = np.random.default_rng(1)
    p0 = SCRIPT["zipf"](64)
    first, second = SCRIPT["pair_at"](p0, *random.standard_normal((2, 64)), 0.1, 0.5)
    unit = 4 * np.log(2)
    assert entropy(np.exp(first), np.exp(second)) / unit == pytest.approx(0.5, rel=1e-6)
    # The sum over the vocabulary is what sampled texts give.
    by_sum = SCRIPT["estimate"](p0, first, second)
    sampled = SCRIPT["sampled_estimate"](p0, first, second, random, texts=20_000, tokens=16)
    assert sampled == pytest.approx(by_sum, rel=0.05)


def test_the_kl_of_chains_is_what_their_own_texts_give():
    random = np.random.default_rng(2)
    first, second = SCRIPT["normalised"](random.standard_normal((2, 5, 5)))
    law, step = np.exp(first), np.zeros(20_000, dtype=int)
    total = 0.0
    for turn in range(60):
        drawn = (random.random((len(step), 1)) > law.cumsum(axis=1)[step]).sum(axis=1).clip(max=4)
        if turn >= 10:  # it has forgotten where it began
            total += np.mean(first[step, drawn] - second[step, drawn])
        step = drawn
    by_texts = total / 50 / (4 * np.log(2))
    assert SCRIPT["exact_kl"](first, second) == pytest.approx(by_texts, rel=0.02)
