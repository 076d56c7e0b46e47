"""Trajectories in three dimensions, whole and late."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.figures.trajectory.embedding_3d import late_figure, map_3d_figure
from tests.figures.trajectory.generated import ODD, STEPS, drawn, words


def test_every_training_is_drawn_with_its_last_point_outlined(several):
    points, rows, _, colours = several
    kl = np.abs(np.random.default_rng(3).standard_normal((40, 40)))
    figure = map_3d_figure(points[:, :3], rows, colours, kl)
    assert drawn(figure)
    (axes,) = figure.axes
    assert len(axes.collections) == 3 * len(ODD)  # a line, its points and the last of them
    assert "thicker: larger KL" in words(figure)
    assert "thicker" not in words(map_3d_figure(points[:, :3], rows, colours))


def test_the_late_part_says_its_steps(several):
    points, rows, _, colours = several
    late = {name: (STEPS[:20], points[rows[name]][:, :3]) for name in ODD}
    figure = late_figure(late, colours)
    assert len(figure.axes) == 2
    assert "1k to 20k" in words(figure)
