"""Axes of logarithms: plain numbers, and 0 on them where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.figures import scales, style


def test_symlog_is_linear_to_a_tenth_and_labelled_plainly():
    figure = style.figure()
    axes = style.panel(figure)
    axes.plot([0, 1], [0.0, 30.0])
    scales.symlog(axes)
    scales.show_zero(axes)
    figure.draw_without_rendering()
    transform = axes.yaxis.get_transform().transform
    low = transform(np.array([0.0, 0.05, 0.1, 1.0, 10.0]))
    assert low[1] - low[0] == pytest.approx(low[2] - low[1])
    assert low[3] - low[2] == pytest.approx(low[4] - low[3])
    assert {"0", "0.1", "1", "10"} <= {label.get_text() for label in axes.get_yticklabels()}
    assert axes.get_ylim()[0] < 0.0


@pytest.mark.parametrize(
    ("values", "scale"), [([0.01, 16.0], "log"), ([0.0, 0.01, 16.0], "symlog")]
)
def test_a_zero_makes_room_for_itself(values, scale):
    axes = style.panel(style.figure())
    axes.plot(values, values, "o")
    scales.log_axis(axes, values=values)
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low < min(values)
    assert high > max(values)


@pytest.mark.parametrize(
    ("values", "scale"), [([0.1, 0.2, 0.4], "linear"), ([0.01, 0.02, 16.0], "symlog")]
)
def test_amounts_begin_at_zero_and_none_hides_the_others(values, scale):
    axes = style.panel(style.figure())
    scales.from_zero(axes, values, [100.0])
    assert axes.get_xscale() == scale
    left, right = axes.get_xlim()
    assert left <= 0.0
    assert max(values) < right < 3 * max(values), "an endless interval does not set the axis"
