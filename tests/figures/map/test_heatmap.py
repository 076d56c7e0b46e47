"""The KL heatmap, from three points to three hundred."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from scipy.cluster.hierarchy import leaves_list

from mlflow_modelmap.figures.map.heatmap import colour_scale, heatmap_figure
from mlflow_modelmap.numerics.points.clustering import averaged, tree


def heat_axes(figure):
    return next(
        axes
        for axes in figure.axes
        if axes.images
        and axes.images[0].get_array().ndim == 3
        and axes.images[0].get_array().shape[0] == axes.images[0].get_array().shape[1]
    )


@pytest.mark.parametrize("points", [2, 3, 40])
def test_cells_are_the_matrix_in_the_order_of_the_tree(generated, points):
    made = generated(points)
    axes = heat_axes(heatmap_figure(made.kl, list(made.points["point"])))
    order = leaves_list(tree(made.kl))
    shown = np.asarray(axes.images[0].get_array())
    norm, _ = colour_scale(made.kl)
    off = ~np.eye(points, dtype=bool)
    expected = colormaps["viridis"](norm(made.kl[np.ix_(order, order)][off]))
    np.testing.assert_allclose(shown[off], 255 * expected, atol=1)
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


def square(*values):
    kl = np.zeros((3, 3))
    kl[np.triu_indices(3, 1)] = values
    return kl + kl.T


def test_colours_are_logarithmic_over_at_most_six_decades():
    norm, extend = colour_scale(square(0.01, 0.1, 1.0))
    assert isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax, extend) == (0.01, 1.0, "neither")
    norm, extend = colour_scale(square(1e-9, 0.01, 16.0))
    assert isinstance(norm, LogNorm)
    assert norm.vmin == pytest.approx(1.6e-5)
    assert extend == "min"
    assert norm(0.1) - norm(0.01) > 0.1, "below 0.1 differences stay visible"
    colour_scale(np.zeros((3, 3)))


def test_a_copy_has_a_colour_that_no_distance_has():
    """With a copy on the map, 0 and the smallest positive KL looked alike."""
    axes = heat_axes(heatmap_figure(square(0.0, 16.0, 16.0), ["model", "copy", "other"]))
    (image,) = axes.images
    shown = np.asarray(image.get_array()) / 255
    names = [label.get_text() for label in axes.get_yticklabels()]
    model, copy, other = map(names.index, ("model", "copy", "other"))
    zero = shown[model, copy]
    np.testing.assert_array_equal(zero, shown[model, model])
    of_distances = colormaps["viridis"](np.linspace(0.0, 1.0, 256))
    assert np.abs(of_distances - zero).max(axis=1).min() > 0.1
    assert np.abs(shown[model, other] - zero).max() > 0.1


def test_many_points_are_averaged_to_cells_in_their_own_units(generated):
    made = generated(40)
    order = np.arange(40)[::-1]
    q = np.random.default_rng(0).standard_normal((40, 50))
    few = averaged(q, order, cells=10)
    figure = heatmap_figure(few, list(made.points["point"]))
    axes = heat_axes(figure)
    assert axes.images[0].get_array().shape == (10, 10, 4)
    assert axes.get_ylim() == (39.5, -0.5)
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [made.points["point"][k] for k in order]
    assert "the mean of about 4 by as many" in axes.get_xlabel()


def test_points_that_coincide_can_be_drawn():
    heatmap_figure(np.zeros((3, 3)), ["a", "b", "c"]).draw_without_rendering()
