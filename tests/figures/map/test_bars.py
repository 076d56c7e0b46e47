"""Bits per byte as bars, from three points to four hundred."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mlflow_modelmap.figures.map.bars import bars_figure


@pytest.mark.parametrize("points", [3, 100, 400])
def test_bars_are_sorted_with_intervals(generated, points):
    made = generated(points)
    value = made.points["bits_per_byte"].to_numpy()
    error = np.linspace(0.01, 0.02, points)
    figure = bars_figure(list(made.points["point"]), value, error, groups=made.points["model_type"])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    order = np.argsort(value)
    bars, errors = axes.collections
    corners = np.array([path.vertices[:4] for path in bars.get_paths()])
    np.testing.assert_allclose(corners[:, :, 0].min(axis=1), 0.0)
    np.testing.assert_allclose(corners[:, :, 0].max(axis=1), value[order])
    assert axes.get_xlim()[0] == 0.0
    top, bottom = corners[0, 0, 1], corners[-1, 0, 1]
    pixels = axes.transData.transform([(0, top), (0, bottom)])
    assert pixels[0, 1] > pixels[1, 1]
    segments = np.array(errors.get_segments())
    np.testing.assert_allclose(
        segments[:, 1, 0] - segments[:, 0, 0], 2 * 1.96 * error[order], rtol=1e-4
    )
    boxes = sorted((t.get_window_extent() for t in axes.get_yticklabels()), key=lambda b: b.y0)
    assert len(boxes) >= min(points, 60)
    assert all(low.y1 <= high.y0 + 0.5 for low, high in pairwise(boxes))


def test_fewer_than_ten_texts_have_no_intervals():
    value, error = np.array([1.0, 2.0]), np.array([0.1, 0.1])
    few = bars_figure(["a", "b"], value, error, texts=9).axes[0]
    assert len(few.collections) == 1, "the bars"
    assert "interval" not in few.get_xlabel()
    ten = np.array(
        bars_figure(["a", "b"], value, error, texts=10).axes[0].collections[1].get_segments()
    )
    # Student's t with 9 degrees of freedom has 2.262
    np.testing.assert_allclose(ten[:, 1, 0] - ten[:, 0, 0], 2 * 0.2262, rtol=1e-3)
