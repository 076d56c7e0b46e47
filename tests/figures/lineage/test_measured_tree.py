"""The measured tree names every model, also where there is one alone."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.figures.lineage.measured_tree import measured_tree_figure
from mlflow_modelmap.numerics.lineage.measured_tree import neighbour_joining
from tests.figures.lineage.conftest import words


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_the_measured_tree_names_every_model(count):
    places = np.random.default_rng(0).normal(size=(count, 4))
    kl = ((places[:, None] - places) ** 2).sum(axis=2)
    names = [f"model {k}" for k in range(count)]
    made = measured_tree_figure(neighbour_joining(kl), names, dict.fromkeys(names, "root"))
    assert sorted(words(made)) == sorted(names)
