"""KL along trainings: axes and trajectories are named, odd names drawn letter by letter."""

from __future__ import annotations

import pytest

from mlflow_modelmap.figures.trajectory import kl
from mlflow_modelmap.figures.trajectory.kl import line_colours
from tests.figures.trajectory.generated import ODD, kl_table, words


@pytest.mark.parametrize("names", [ODD[:1], ODD], ids=["one", "two"])
def test_kl_figures_name_their_axes_and_trajectories(names):
    colours = line_colours(names)
    table = kl_table(names)
    early = kl.kl_previous_figure(table, colours, 10_000)
    assert len(early.axes) == 2
    said = words(early)
    assert "KL divergence (bits/byte)" in said
    assert "training step" in said
    assert ("bbb…bbb" in said) == (len(names) == 2)
    assert len(kl.kl_previous_figure(table, colours, 0).axes) == 1
    per_step = words(kl.kl_previous_figure(table, colours, 0, per_step=True))
    assert "KL divergence per 1,000 steps" in per_step
    assert r"a \$1 training" in said
    assert r"\\" not in said
