"""What the monitor says that a record costs, and how often to record instead."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from mlflow_modelmap.drivers.monitor.training import MonitoredTraining


@pytest.mark.parametrize(
    ("record", "training", "steps", "said"),
    [
        # 10 s each 100 steps of 10 s: 19 times 10 s are 1,900 steps.
        (10.0, 10.0, 100, "A record takes 10 s, 50 % of the time; recording every 1,900 steps"),
        (9.9, 22.0, 100, "A record takes 9.9 s, 31 % of the time; recording every 860 steps"),
        (1.0, 0.001, 1, "A record takes 1 s, 1e+02 % of the time; recording every 19,000 steps"),
        (0.5, 9.6, 10, "A record takes 0.5 s, 5 % of the time."),
    ],
)
def test_above_a_twentieth_it_says_how_often_is_cheap_enough(caplog, record, training, steps, said):
    caplog.set_level(logging.INFO, logger="mlflow_modelmap")
    of = SimpleNamespace(_said=set())
    MonitoredTraining._say_cost(of, record, training, steps)
    assert said in caplog.text
    if "every" in said:
        every = int(said.split("every ")[1].split()[0].replace(",", ""))
        assert record / (record + training / steps * every) <= 0.05
        assert record / (record + training / steps * every * 0.9) > 0.05
