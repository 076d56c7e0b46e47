"""Checkpoints in weight space: turned alike, and not drawn where a pair is unknown."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.drivers.trajectory.weight_map import weight_map
from tests.numerics.generated import fbm_paths, squared_table

STEPS = np.arange(0, 20_000, 1000)
COLOURS = {"a": "#1f77b4", "b": "#d62728"}


def table(seed):
    """Squared distances along a persistent walk, as of weights."""
    rng = np.random.default_rng(seed)
    return squared_table(fbm_paths(1.6, np.arange(1, STEPS.size), np.ones(300), rng))


def test_every_training_is_turned_so_that_it_runs_to_the_right():
    in_weights = {"a": (STEPS, table(0)), "b": (STEPS, table(1))}
    figure = weight_map(in_weights, COLOURS, perplexity=5.0, seed=0)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        path = axes.collections[1].get_offsets()
        across = np.polyfit(np.arange(len(path)), path, 1)[0]
        assert across[0] > 0
        assert abs(across[1]) < 1e-6 * across[0]


def test_a_training_with_unknown_pairs_is_not_drawn():
    unknown = table(1)
    unknown[-1, -3] = unknown[-3, -1] = np.nan
    figure = weight_map(
        {"a": (STEPS, table(0)), "b": (STEPS, unknown)}, COLOURS, perplexity=5.0, seed=0
    )
    assert len(figure.axes) == 1
    assert weight_map({"b": (STEPS, unknown)}, COLOURS, perplexity=5.0, seed=0) is None
    assert weight_map({}, COLOURS, perplexity=5.0, seed=0) is None
