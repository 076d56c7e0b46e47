"""Further points in a picture lie where they would in a picture of all."""

import numpy as np
import pytest

from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.points.embedding import pca, tsne
from mlflow_modelmap.numerics.points.placing import neighbours_kept, place, project


@pytest.fixture(scope="module")
def clusters():
    """Four clusters of 40 points, and one more point of each."""
    random = np.random.default_rng(0)
    label = np.concatenate([np.repeat(np.arange(4), 40), np.arange(4)])
    q = random.standard_normal((4, 200))[label] + 0.2 * random.standard_normal((164, 200))
    return q - q[:160].mean(axis=0), label


def test_projected_points_are_on_the_axes_of_the_singular_values(clusters):
    q, _ = clusters
    found = project(q[:160], pca(q[:160], 3).coordinates, q[160:])
    _, _, axes = np.linalg.svd(q[:160], full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(q[160:] @ axes[:3].T), rtol=1e-8)
    own = project(q[:160], pca(q[:160], 3).coordinates, q[:5])
    np.testing.assert_allclose(own, pca(q[:160], 3).coordinates[:5], atol=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_placed_points_lie_in_their_cluster_and_move_no_other(clusters, dimensions):
    q, label = clusters
    drawn = tsne(q[:160], dimensions, 10).coordinates
    before = drawn.copy()
    kl = kl_matrix(q)[160:, :160]
    near = np.argsort(kl, axis=1)[:, :30]
    found = place(drawn, near, np.take_along_axis(kl, near, axis=1), 10)
    np.testing.assert_array_equal(drawn, before)
    nearest = np.linalg.norm(drawn[None] - found[:, None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(label[nearest], label[160:])
    kept = neighbours_kept(kl, drawn, found)
    middle = np.array([drawn[of].mean(axis=0) for of in near[:, :10]])
    assert kept.mean() >= neighbours_kept(kl, drawn, middle).mean() > 0.2


def test_neighbours_kept_is_the_share_of_the_ten_nearest():
    drawn = np.arange(20.0)[:, None] * [1.0, 0.0]
    kl = np.abs(np.arange(20.0) - 0.1)[None]
    assert neighbours_kept(kl, drawn, np.array([[-1.0, 0.0]])) == 1.0
    assert neighbours_kept(kl, drawn, np.array([[13.9, 0.0]])) == 0.1
