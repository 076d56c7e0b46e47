"""Trajectories on principal components: those that there are."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.figures.trajectory.pca import pca_pairs_figure, pca_steps_figure
from tests.figures.trajectory.generated import words


def test_pairs_beyond_the_components_are_passed_over(several):
    points, rows, _, colours = several
    assert len(pca_pairs_figure(points, np.full(12, 0.05), rows, colours).axes) == 3
    assert len(pca_pairs_figure(points[:, :5], np.full(5, 0.1), rows, colours).axes) == 2


def test_components_are_drawn_along_steps(several):
    points, rows, steps, colours = several
    share = np.full(12, 0.05)
    assert "component 12, 5 % of" in words(pca_steps_figure(points, share, rows, steps, colours))
    few = pca_steps_figure(points[:, :5], share, rows, steps, colours)
    assert len(few.axes) == 5
