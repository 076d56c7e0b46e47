"""Diffusion: exponents with their bands or intervals, displacements with their exponents."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.figures.trajectory import diffusion
from mlflow_modelmap.figures.trajectory.kl import line_colours
from tests.figures.trajectory.generated import ODD, diffusion_table, words


def test_bands_are_drawn_where_they_can_be_told_apart():
    few = diffusion.exponents_figure(diffusion_table(["a"]), line_colours(["a"]), 10_000)
    assert len(few.axes[0].collections) == 2
    assert "95 % interval" in words(few)
    names = [f"t{k}" for k in range(5)]
    many = diffusion.exponents_figure(diffusion_table(names), line_colours(names), 10_000)
    assert len(many.axes[0].collections) == 0
    assert "interval" not in words(many)


def test_few_starts_are_dots_with_intervals():
    table = diffusion_table(ODD, starts=[1000])
    said = words(diffusion.exponents_figure(table, line_colours(ODD), 896))
    assert "over 896 steps" in said
    assert "begins at step 1k" in said
    assert "weights" in said


def test_displacements_say_their_exponents():
    lags = np.arange(1000, 11_000, 1000)
    distances = pd.concat(
        [
            pd.DataFrame({"trajectory": ODD[0], "space": s, "lag": lags, "squared": lags**c})
            for s, c in (("q", 0.2), ("w", 1.0))
        ]
    )
    fits = diffusion_table(ODD[:1], starts=[120_000])
    figure = diffusion.displacement_figure(distances, fits, line_colours(ODD[:1]), 120_000)
    said = words(figure)
    assert "c = 0.20" in said
    assert "steps since step 120k" in said
    assert "squared weight distance" in said
