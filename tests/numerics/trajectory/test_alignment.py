"""Alignment of embeddings, and coordinates from distances."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.alignment import aligned, classical_scaling
from tests.numerics.generated import squared_table


def test_alignment_turns_progress_to_the_right_and_keeps_distances():
    rng = np.random.default_rng(2)
    x = np.stack([-3.0 * np.arange(30), 4.0 * np.arange(30)], axis=1) + rng.standard_normal((30, 2))
    turned = aligned(x)
    time = np.arange(30) - 14.5
    assert time @ turned[:, 0] > 0
    assert time @ turned[:, 1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(squared_table(turned), squared_table(x))
    assert aligned(np.zeros((5, 2))).tolist() == [[0, 0]] * 5


def test_classical_scaling_gives_the_distances_back():
    x = np.random.default_rng(3).standard_normal((6, 3))
    table = squared_table(x)
    np.testing.assert_allclose(squared_table(classical_scaling(table, 3)), table)
    assert classical_scaling(table, 9).shape == (6, 9)
    table[0, 1] = np.nan
    with pytest.raises(InputError, match="needs every pair's distance"):
        classical_scaling(table, 2)
