"""Square tables of squared distances, where some are unknown."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.trajectory.distance_tables import distance_table, squared_distances
from tests.numerics.trajectory.conftest import direct_kl_and_error


def test_squared_distances_leave_far_pairs_unknown(two):
    matrix, given = two
    table = squared_distances(coordinates(matrix), given[1], most_steps=3000)
    assert np.isnan(table[0, 3])
    assert np.isnan(table[3, 0])
    np.testing.assert_allclose(table[0, 2], direct_kl_and_error(matrix, 2, 0)[0], rtol=1e-10)
    assert (np.diagonal(table) == 0).all()


def test_listed_distances_become_a_table():
    steps, table = distance_table([0, 0, 1000], [1000, 3000, 3000], [1.0, 3.0, 2.0])
    assert steps.tolist() == [0, 1000, 3000]
    assert table.tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]
    with pytest.raises(InputError, match="between steps 0 and 1000 is nan"):
        distance_table([0], [1000], [np.nan])
