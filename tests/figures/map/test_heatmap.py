"""The KL heatmap, from three points to three hundred."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import LogNorm, SymLogNorm
from scipy.cluster.hierarchy import leaves_list

from mlflow_modelmap.figures.map.heatmap import colour_scale, heatmap_figure
from mlflow_modelmap.numerics.points.clustering import tree


def heat_axes(figure):
    return next(
        axes
        for axes in figure.axes
        if axes.images
        and axes.images[0].get_array().ndim == 2
        and axes.images[0].get_array().shape[0] == axes.images[0].get_array().shape[1]
    )


@pytest.mark.parametrize("points", [2, 3, 40])
def test_cells_are_the_matrix_in_the_order_of_the_tree(generated, points):
    made = generated(points)
    axes = heat_axes(heatmap_figure(made.kl, list(made.points["point"])))
    order = leaves_list(tree(made.kl))
    shown = np.asarray(axes.images[0].get_array())
    expected = made.kl[np.ix_(order, order)]
    off = ~np.eye(points, dtype=bool)
    np.testing.assert_allclose(shown[off], expected[off])
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [made.points["point"][k] for k in order]


def test_three_hundred_points_have_fewer_names_that_do_not_touch(generated):
    made = generated(300, types=12)
    groups = list(made.points["model_type"])
    figure = heatmap_figure(made.kl, list(made.points["point"]), groups=groups)
    figure.draw_without_rendering()
    named = max(figure.axes, key=lambda axes: len(axes.get_yticklabels()))
    boxes = sorted((t.get_window_extent() for t in named.get_yticklabels()), key=lambda b: b.y0)
    assert 30 < len(boxes) < 100
    assert all(low.y1 <= high.y0 + 0.5 for low, high in pairwise(boxes))
    assert "named" in named.get_ylabel()


def test_few_points_have_their_numbers_written(generated):
    made = generated(4)
    axes = heat_axes(heatmap_figure(made.kl, list(made.points["point"])))
    assert len(axes.texts) == 4 * 3


def test_colours_are_logarithmic_or_symlog_by_range():
    def square(*values):
        kl = np.zeros((3, 3))
        kl[np.triu_indices(3, 1)] = values
        return kl + kl.T

    norm, _ = colour_scale(square(0.01, 0.1, 1.0))
    assert isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax) == (0.01, 1.0)
    norm, _ = colour_scale(square(1e-9, 0.1, 5.0))
    assert isinstance(norm, SymLogNorm)
    assert norm.linthresh == 0.1
    norm, _ = colour_scale(square(1e-9, 1e-3, 0.01))
    assert isinstance(norm, LogNorm)
    assert norm.vmin == pytest.approx(1e-7)
    colour_scale(np.zeros((3, 3)))


def test_points_that_coincide_can_be_drawn():
    heatmap_figure(np.zeros((3, 3)), ["a", "b", "c"]).draw_without_rendering()
