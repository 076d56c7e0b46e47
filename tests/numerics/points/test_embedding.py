"""PCA and t-SNE: known shapes come back, at any number of points, and the same every time."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.manifold import trustworthiness

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.points import embedding
from mlflow_modelmap.numerics.points.all_neighbours import all_neighbours
from mlflow_modelmap.numerics.points.embedding import pca, tsne


def clusters(count=4, each=12, texts=200, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, texts))
    label = np.repeat(np.arange(count), each)
    q = centres[label] + 0.2 * rng.standard_normal((label.size, texts))
    return q - q.mean(axis=0), label


@pytest.mark.parametrize("shape", [(6, 50), (50, 6)])
def test_principal_components_are_those_of_the_singular_values(shape):
    q = np.random.default_rng(0).standard_normal(shape)
    found = pca(q, 3)
    u, s, _ = np.linalg.svd(q - q.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(u * s)[:, :3], rtol=1e-9)
    np.testing.assert_allclose(found.explained, (s**2 / (s**2).sum())[:3], rtol=1e-9)


def test_all_components_keep_every_distance():
    q, _ = clusters(3, 3)
    found = pca(q, 8)
    np.testing.assert_allclose(pdist(found.coordinates), pdist(q), rtol=1e-9)
    assert found.explained.sum() == pytest.approx(1.0)


def test_signs_do_not_hang_on_the_sign_of_the_data():
    q = np.random.default_rng(1).standard_normal((7, 30))
    again = pca(q.copy(), 3).coordinates
    np.testing.assert_array_equal(pca(q, 3).coordinates, again)
    for column in again.T:
        assert column[np.argmax(np.abs(column))] > 0
    assert pca(np.array([[1.0, 2.0], [3.0, 5.0]]), 1).coordinates[0, 0] > 0
    assert pca(np.array([[3.0, 5.0], [1.0, 2.0]]), 1).coordinates[0, 0] > 0


@pytest.mark.parametrize("texts", [200, 70])
def test_many_points_go_the_sparse_way_to_the_same_place(monkeypatch, texts):
    q, _ = clusters(4, 20)
    q = (q + 3.0)[:, :texts]
    dense = pca(q, 3)
    monkeypatch.setattr(embedding, "_DENSE", 10)
    sparse = pca(q, 3)
    np.testing.assert_allclose(sparse.coordinates, dense.coordinates, atol=1e-8)
    np.testing.assert_allclose(sparse.explained, dense.explained, rtol=1e-9)


def test_components_beyond_the_rank_are_zero():
    found = pca(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]), 5)
    assert found.coordinates.shape == (2, 5)
    assert (found.coordinates[:, 1:] == 0).all()
    assert np.ptp(found.coordinates[:, 0]) == pytest.approx(2.0)
    np.testing.assert_allclose(found.explained, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(pca(np.ones((3, 4)), 2).explained, [0, 0])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_tsne_keeps_clusters_together_and_repeats_itself(dimensions):
    q, label = clusters()
    found = tsne(q, dimensions, perplexity=8)
    assert found.coordinates.shape == (48, dimensions)
    assert (found.perplexity, found.notice) == (8, None)
    distance = np.linalg.norm(found.coordinates[:, None] - found.coordinates, axis=-1)
    same = label[:, None] == label
    assert distance[same].max() < distance[~same].min()
    again = tsne(q, dimensions, perplexity=8, kl=kl_matrix(q))
    np.testing.assert_array_equal(again.coordinates, found.coordinates)
    assert not np.array_equal(tsne(q, dimensions, 8, seed=1).coordinates, found.coordinates)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_tsne_of_the_nearest_neighbours_alone_is_as_good(dimensions):
    q, label = clusters(each=50)
    pairs = all_neighbours(q, None, 24)
    near = (pairs.neighbours, pairs.kl)
    start = pca(q, 3).coordinates
    found = tsne(q, dimensions, 8, start=start, near=near)
    assert (found.coordinates.shape, found.perplexity) == ((200, dimensions), 8)
    distance = np.linalg.norm(found.coordinates[:, None] - found.coordinates, axis=-1)
    same = label[:, None] == label
    assert distance[same].max() < distance[~same].min()
    everything = np.sqrt(kl_matrix(q))
    by_all = tsne(q, dimensions, 8).coordinates
    quality, of_all = (
        trustworthiness(everything, at, n_neighbors=8, metric="precomputed")
        for at in (found.coordinates, by_all)
    )
    assert quality > of_all - 0.02
    again = tsne(q, dimensions, 8, start=start, near=near)
    np.testing.assert_array_equal(again.coordinates, found.coordinates)


@pytest.mark.parametrize("points", [4, 5, 12])
def test_few_points_lower_the_perplexity_and_say_so(points):
    found = tsne(clusters(4, 3)[0][:points], 3)
    assert found.perplexity == pytest.approx((points - 1) / 3)
    assert f"because there are only {points}" in found.notice
    assert np.abs(found.coordinates).max() < 100, "the map flew apart"


@pytest.mark.parametrize("points", [1, 2, 3])
def test_fewer_than_four_points_are_shown_by_their_components(points):
    q = clusters(3, 1)[0][:points]
    found = tsne(q, 2)
    assert found.perplexity is None
    assert f"there are {points}" in found.notice
    np.testing.assert_array_equal(found.coordinates, pca(q, 2).coordinates)


def test_duplicates_are_placed_together():
    q, _ = clusters(5, 1)
    found = tsne(np.repeat(q, 6, axis=0), 2).coordinates.reshape(5, 6, 2)
    assert np.isfinite(found).all()
    inside = np.linalg.norm(found - found.mean(axis=1, keepdims=True), axis=2).max()
    assert inside < pdist(found.mean(axis=1)).min()
    everything_equal = tsne(np.ones((6, 9)))
    assert "coincide" in everything_equal.notice
    assert (everything_equal.coordinates == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dimensions": 4}, "4 dimensions"), ({"perplexity": 0.5}, "perplexity of 0.5")],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        tsne(clusters()[0], **arguments)
