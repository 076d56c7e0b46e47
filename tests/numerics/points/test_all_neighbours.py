"""What a large map keeps of its pairs is what a table of all of them says."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.divergence import gram_products, pair_blocks
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.points.all_neighbours import all_neighbours, median_kl
from mlflow_modelmap.numerics.points.clustering import tree, tree_of_distances
from mlflow_modelmap.numerics.points.neighbours import nearest

TEXTS = 50


def points():
    """Among them a crowd of near ones, and equal ones."""
    random = np.random.default_rng(0)
    q = random.standard_normal((70, TEXTS))
    q[40:60] = q[3] + 1e-7 * random.standard_normal((20, TEXTS))
    q[[20, 30, 65, 66]] = q[2]
    return q


def samplings():
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.ones(TEXTS))
    yield None
    yield Sampling(shares, shares)
    yield Sampling(documents=random.integers(-1, 10, TEXTS))
    yield Sampling(shares, shares, per_byte=True)


@pytest.mark.parametrize("sampling", samplings())
def test_it_is_what_the_table_says(monkeypatch, sampling):
    q = points()
    kl, se = kl_with_standard_error(q, sampling)
    monkeypatch.setattr(gram_products, "_ROWS", 16)
    monkeypatch.setattr(pair_blocks, "_ROWS", 16)
    found = all_neighbours(q, sampling, 7)
    table = nearest(kl, se, 7)
    np.testing.assert_array_equal(found.neighbours.ravel(), table["neighbour"])
    np.testing.assert_allclose(found.kl.ravel(), table["kl"], rtol=1e-9, atol=0)
    np.testing.assert_allclose(found.se.ravel(), table["se"], rtol=1e-6, atol=0)
    above = np.triu_indices(len(q), 1)
    np.testing.assert_allclose(found.distances, np.sqrt(kl[above]), rtol=1e-9, atol=0)
    assert found.smallest == 0.0
    assert found.largest == pytest.approx(kl.max(), rel=1e-12)
    assert found.largest_se == pytest.approx(se.max(), rel=1e-9)
    np.testing.assert_allclose(tree_of_distances(found.distances), tree(kl), rtol=1e-9)
    assert median_kl(found.distances) == pytest.approx(np.median(kl[above]), rel=1e-12)


def test_all_others_are_neighbours_where_there_are_few():
    found = all_neighbours(points()[:4], None, 9)
    assert [set(row) for row in found.neighbours] == [set(range(4)) - {k} for k in range(4)]


def test_one_point_has_no_neighbours():
    found = all_neighbours(points()[:1], None, 9)
    assert found.neighbours.shape == found.kl.shape == found.se.shape == (1, 0)
    assert not found.distances.size
