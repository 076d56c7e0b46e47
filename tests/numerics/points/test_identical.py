"""Rows that are equal to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.numerics.points.embedding import pca, tsne
from mlflow_modelmap.numerics.points.identical import first_identical


def test_the_first_of_equal_rows_is_found_and_no_other():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 40))
    given = rows[[0, 1, 0, 2, 1, 0, 3]].copy()
    given[5, 39] = np.nextafter(given[5, 39], 0)  # the last bit of the last text
    assert first_identical(given).tolist() == [0, 1, 0, 3, 1, 5, 6]
    assert first_identical(given[:, :5]).tolist() == [0, 1, 0, 3, 1, 0, 6]
    assert first_identical(np.asfortranarray(given)).tolist() == [0, 1, 0, 3, 1, 5, 6]
    assert first_identical(np.empty((0, 3))).tolist() == []


def test_zeros_of_either_sign_are_equal():
    assert first_identical([[0.0, 1.0], [-0.0, 1.0], [-0.0, 2.0]]).tolist() == [0, 0, 2]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_copies_lie_on_each_other_in_a_t_sne_and_move_no_other_point(dimensions):
    rng = np.random.default_rng(1)
    q = rng.normal(size=(12, 50))
    alone = tsne(q, dimensions)
    start = pca(q, dimensions).coordinates
    given = [*range(12), 3, 3, 7]
    with_copies = tsne(q[given], dimensions, start=start[given])
    np.testing.assert_array_equal(with_copies.coordinates, alone.coordinates[given])
    assert with_copies.perplexity == alone.perplexity
    few = tsne(q[[0, 1, 2, 1, 0]], dimensions)
    assert "4 points that differ and there are 3" in few.notice
