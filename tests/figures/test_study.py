"""Figures of studies: bands and bars are the intervals that the numbers have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from mlflow_modelmap.figures.study.layers import exact_profiles
from mlflow_modelmap.figures.study.prompts import additivity_figure
from mlflow_modelmap.numerics.divergence.interval import confidence_interval


def test_the_band_of_few_texts_is_that_of_students_t():
    exact = pd.DataFrame({"model": "a", "model_type": "llama", "layer": [0, 1], "texts": 12})
    figure = exact_profiles(exact.assign(forward=[4.0, 1.0], forward_se=0.2))
    (band,) = figure.axes[0].collections
    ends = band.get_paths()[0].vertices[:, 1]
    t = stats.t.ppf(0.975, 11)
    for kl in (4.0, 1.0):
        for end in (kl - 0.2 * t, kl + 0.2 * t):
            assert np.isclose(ends, end).any()
    plt.close(figure)


def test_what_is_left_unexplained_has_the_interval_of_a_share():
    added = pd.DataFrame({"model": "a", "prompt": ["both"], "unexplained": [0.3]})
    added = added.assign(unexplained_se=0.1, unexplained_by_one=0.6, unexplained_by_one_se=0.1)
    figure = additivity_figure(added)
    lines = [line for c in figure.axes[0].containers for line in c.lines[2]]
    drawn = [segment[:, 0] for line in lines for segment in line.get_segments()]
    expected = [confidence_interval(share, 0.1) for share in (0.3, 0.6)]
    assert np.array(drawn) == pytest.approx(np.array(expected))
    plt.close(figure)
