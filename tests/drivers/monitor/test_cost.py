"""What the monitor says that a record costs, and how often to record instead."""

from __future__ import annotations

import pytest

from mlflow_modelmap.drivers.monitor.cost import cost_in_words


def every_in(said: str) -> int:
    if "every step" in said:
        return 1
    return int(said.split("every ")[1].split()[0].replace(",", ""))


@pytest.mark.parametrize(
    ("record", "training", "steps", "said"),
    [
        # 10 s each 100 steps of 10 s: 19 times 10 s are 1,900 steps.
        (10.0, 10.0, 100, "A record takes 10 s, 50 % of the time; recording every 1,900 steps"),
        (9.9, 22.0, 100, "A record takes 9.9 s, 31 % of the time; recording every 860 steps"),
        (1.0, 0.001, 1, "A record takes 1 s, 100 % of the time; recording every 19,000 steps"),
    ],
)
def test_above_a_twentieth_it_says_how_often_is_cheap_enough(record, training, steps, said):
    told, dear = cost_in_words(record, training, steps)
    assert told.startswith(said)
    assert told.endswith(" steps keeps it below 5 %, and so do fewer texts.")
    assert dear
    every = every_in(told)
    assert record / (record + training / steps * every) <= 0.05
    assert record / (record + training / steps * every * 0.9) > 0.05


@pytest.mark.parametrize(
    ("record", "training", "steps", "said"),
    [
        # 1.8 s each 1,000 steps of half a second: 99 times 1.8 s are 357 steps.
        (1.8, 500.0, 1000, "A record takes 1.8 s, 0.36 % of the time; recording every 360 steps"),
        (0.001, 500.0, 1000, "A record takes 0.001 s, 0.0002 % of the time; recording every step"),
    ],
)
def test_below_a_hundredth_it_says_how_often_would_be_cheap_too(record, training, steps, said):
    told, dear = cost_in_words(record, training, steps)
    assert told.startswith(said)
    assert told.endswith(" would keep it below 1 %.")
    assert not dear
    assert record / (record + training / steps * every_in(told)) <= 0.01


@pytest.mark.parametrize(
    ("record", "training", "steps", "said"),
    [
        (0.5, 9.6, 10, "A record takes 0.5 s, 5 % of the time."),
        (5.04, 500.0, 1000, "A record takes 5 s, 1 % of the time."),
        (1.0, 500.0, 1, "A record takes 1 s, 0.2 % of the time."),
        (123.0, 4000.0, 1, "A record takes 120 s, 3 % of the time."),
    ],
)
def test_in_between_and_at_every_step_it_says_what_it_is(record, training, steps, said):
    assert cost_in_words(record, training, steps) == (said, False)
