"""Trajectories in weight space, a panel each."""

from __future__ import annotations

from mlflow_modelmap.figures.trajectory.weight_map import weights_map_figure
from tests.figures.trajectory.generated import ODD, words


def test_each_panel_says_where_it_begins(several):
    points, _, steps, colours = several
    figure = weights_map_figure({ODD[0]: points[:20, :2]}, steps, colours)
    assert len(figure.axes) == 1
    assert "from 1k" in words(figure)
