"""The tree by which a heatmap is ordered."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list

from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.points.clustering import tree


def line(*positions):
    return kl_matrix(np.array(positions)[:, None] * np.array([[1.0, -1.0, 0.5]]))


@pytest.mark.parametrize("points", [2, 12])
def test_the_leaves_of_a_shuffled_line_are_in_order(points):
    order = np.random.default_rng(1).permutation(points)
    found = tree(line(*(1.3**order)))
    assert found.shape == (points - 1, 4)
    listed = order[leaves_list(found)].tolist()
    assert listed in (list(range(points)), list(range(points))[::-1])
