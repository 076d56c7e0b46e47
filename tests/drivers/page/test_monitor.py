"""A training that goes on, for the server page: what its metrics say so far."""

from __future__ import annotations

from mlflow_modelmap.drivers.page.monitor import monitor_payload
from mlflow_modelmap.drivers.page.opened import head, open_run


def test_a_training_that_goes_on(page, site):
    opened = open_run(page, site.runs["monitor"])
    assert head(page, opened)["status"] == "RUNNING"
    (line,) = monitor_payload(page, opened)["trajectories"]
    assert [row["step"] for row in line["bits_per_byte"]] == [100, 200, 300]
    assert [(r["step_from"], r["step"], r["kl"], r["se"]) for r in line["kl_previous"]] == [
        (100, 200, 10 / 200, 1 / 200),
        (200, 300, 10 / 300, 1 / 300),
    ]
    assert [(row["t1"], row["low"], row["high"]) for row in line["exponents"]] == [(300, 0.5, 1.5)]


def test_the_anomalies_of_a_training_are_told_in_its_words(page, site):
    told = monitor_payload(page, open_run(page, site.runs["monitor"]))["anomalies"]
    assert [(of["step"], of["what"]) for of in told] == [
        (200, "breaks continuity"),
        (300, "jump: 4.0 times the expected KL; really"),
    ]
