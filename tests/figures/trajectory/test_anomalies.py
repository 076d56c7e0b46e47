"""Anomalies are marked where they are, and named with their step."""

from __future__ import annotations

import pandas as pd

from mlflow_modelmap.figures.trajectory import anomalies
from mlflow_modelmap.figures.trajectory.kl import line_colours
from tests.figures.trajectory.generated import ODD, kl_table, words


def test_anomalies_are_marked_and_named():
    table = kl_table(ODD).rename(columns={"kl": "distance"}).assign(trend=0.02)
    flagged = pd.DataFrame(
        {"trajectory": [ODD[1]], "kind": ["spike"], "step": [20_000], "step_last": [22_000]}
    )
    figure = anomalies.continuity_figure(table, flagged, line_colours(ODD), "w")
    said = words(figure)
    assert "spike 20k" in said
    assert "squared distance" in said
    siblings = pd.DataFrame(
        {
            "trajectory": ODD,
            "step": 143_000,
            "kl_to_siblings": [0.1, 0.3],
            "times_usual": [1.0, 3.0],
            "outlier": [False, True],
        }
    )
    assert "3.0 times the usual" in words(anomalies.siblings_figure(siblings))
