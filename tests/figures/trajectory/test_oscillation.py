"""Autocorrelation by perplexity, with the period that was found."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.figures.trajectory.oscillation import autocorrelation_figure
from mlflow_modelmap.numerics.trajectory.oscillation import Autocorrelation
from tests.figures.trajectory.generated import ODD, words


def test_a_period_is_told_where_there_is_one():
    lags = np.arange(0, 20_000, 1000)
    values = np.cos(2 * np.pi * lags / 6000)
    band = np.full(lags.size, 0.3)
    found = {
        ODD[0]: {5.0: Autocorrelation(lags, values, 6000, -band, band)},
        ODD[1]: {5.0: Autocorrelation(lags, values, None, -band, band)},
    }
    said = words(autocorrelation_figure(found))
    assert "5: period 6k" in said
    assert "5: no period" in said
