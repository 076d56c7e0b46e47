"""The tree by which a heatmap is ordered."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list

from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.points.clustering import averaged, tree


def line(*positions):
    return kl_matrix(np.array(positions)[:, None] * np.array([[1.0, -1.0, 0.5]]))


@pytest.mark.parametrize("points", [2, 12])
def test_the_leaves_of_a_shuffled_line_are_in_order(points):
    order = np.random.default_rng(1).permutation(points)
    found = tree(line(*(1.3**order)))
    assert found.shape == (points - 1, 4)
    listed = order[leaves_list(found)].tolist()
    assert listed in (list(range(points)), list(range(points))[::-1])


def test_averaged_cells_are_means_over_pairs_of_different_points():
    random = np.random.default_rng(1)
    q = random.standard_normal((23, 40))
    q[7] = q[3]
    order = random.permutation(23)
    found = averaged(q, order, cells=6)
    kl = kl_matrix(q)[np.ix_(order, order)]
    cell = np.concatenate([np.full(n, c) for c, n in enumerate((3, 4, 4, 4, 4, 4))])
    for a in range(6):
        for b in range(6):
            pairs = kl[np.ix_(cell == a, cell == b)]
            if a == b:
                pairs = pairs[~np.eye(len(pairs), dtype=bool)]
            assert found.kl[a, b] == pytest.approx(pairs.mean(), rel=1e-12)


def test_as_many_cells_as_points_are_the_table_and_copies_are_zero_apart():
    q = np.random.default_rng(1).standard_normal((9, 40))
    q[7] = q[3]
    found = averaged(q, np.arange(9), cells=50)
    np.testing.assert_allclose(found.kl, kl_matrix(q), rtol=1e-10)
    assert found.kl[7, 3] == 0.0
