"""What the squared distance of PMI vectors is, on models whose p(y|x) and p(y) are known."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.numerics.divergence.kl import kl_between

PROMPTS, RESPONSES, TEXTS, BYTES = 12, 400, 60_000, 100.0


@pytest.fixture(scope="module")
def known():
    """Two models near a third, p0, whose pairs are drawn: log p(y|x) and log p(y), and the draw.

    All three answer each prompt otherwise; the two also differ in what they say to any prompt.
    """
    random = np.random.default_rng(3)
    base = random.normal(0, 1.0, (PROMPTS, RESPONSES))

    def model(everywhere, by_prompt):
        logits = base + everywhere * random.normal(size=RESPONSES)
        logits = logits + by_prompt * random.normal(size=base.shape)
        table = np.exp(logits - logits.max(1, keepdims=True))
        return np.log(table / table.sum(1, keepdims=True))

    given = [model(0.0, 0.0), model(0.1, 0.05), model(0.1, 0.05)]
    law = np.exp(given[0]).ravel() / PROMPTS  # each prompt as often
    pairs = random.choice(law.size, TEXTS, p=law / law.sum())
    x, y = np.unravel_index(pairs, base.shape)
    return given[1:], [np.log(np.exp(table).mean(0)) for table in given[1:]], x, y


def divergences(known):
    """Exact, in nats: of answers to a prompt, of answers to any, of prompts behind an answer."""
    (first, second), (alone, other), _, _ = known
    p, q = np.exp(first), np.exp(alone)
    answers = (p * (first - second)).sum(1).mean()
    marginal = (q * (alone - other)).sum()
    # p(x|y) = p(x) p(y|x) / p(y)
    posterior = (p / PROMPTS * ((first - alone) - (second - other))).sum()
    return answers, marginal, posterior


def measured(known, vectors):
    (first, second), (alone, other), x, y = known
    rows = {
        "conditional": (first[x, y], second[x, y]),
        "unconditional": (alone[y], other[y]),
        "pmi": (first[x, y] - alone[y], second[x, y] - other[y]),
    }[vectors]
    kl, se = kl_between(*rows, BYTES)
    nats = BYTES * np.log(2)
    return kl * nats, se * nats


def test_it_is_the_kl_of_which_prompt_was_answered_and_not_of_the_answers(known):
    answers, marginal, posterior = divergences(known)
    assert answers == pytest.approx(marginal + posterior, rel=1e-12)  # the chain rule
    assert posterior < 0.4 * answers  # so that one is not taken for the other
    for vectors, expected in (
        ("conditional", answers),
        ("unconditional", marginal),
        ("pmi", posterior),
    ):
        value, se = measured(known, vectors)
        # Second order: the difference itself is what is left out of the expansion.
        assert value == pytest.approx(expected, abs=4 * se + 0.06 * expected), vectors


def test_what_two_models_say_to_any_prompt_alike_is_not_in_it(known):
    (first, second), (alone, other), x, y = known
    taste = np.random.default_rng(4).normal(0, 0.3, RESPONSES)
    shifted = (first + taste)[x, y] - (alone + taste)[y]
    kl, _ = kl_between(shifted, second[x, y] - other[y], BYTES)
    assert kl * BYTES * np.log(2) == pytest.approx(measured(known, "pmi")[0], rel=1e-9)
    loud, _ = kl_between((first + taste)[x, y], second[x, y], BYTES)
    assert loud * BYTES * np.log(2) > 3 * measured(known, "conditional")[0]
