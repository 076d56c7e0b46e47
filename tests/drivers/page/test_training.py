"""A trajectory for the server page: KL and exponents with their intervals."""

from __future__ import annotations

import json

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.training import trajectory_payload
from tests.page_site import STEPS


def test_a_trajectory_with_intervals(page, site):
    told = trajectory_payload(page, open_run(page, site.runs["trajectory"]), PageCache())
    assert [line["name"] for line in told["trajectories"]] == ["tiny-seed0", "tiny-seed1"]
    line = told["trajectories"][0]
    assert [row["step"] for row in line["kl_previous"]] == list(STEPS[1:])
    assert all(row["low"] < row["kl"] < row["high"] for row in line["kl_previous"])
    assert [row["step"] for row in line["bits_per_byte"]] == list(STEPS)
    assert all(row["low"] <= row["exponent"] <= row["high"] for row in line["exponents"])
    assert line["exponents"]
    json.dumps(told, allow_nan=False)
