"""Trees recovered from generated distances."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.lineage.measured_tree import minimum_spanning_tree, neighbour_joining
from tests.numerics.generated import random_tree


def test_equal_models_and_tiny_sets():
    tree = minimum_spanning_tree(np.zeros((3, 3)))
    assert len(tree.edges) == 2
    for count in (1, 2, 3):
        kl = np.ones((count, count)) - np.eye(count)
        assert len(minimum_spanning_tree(kl).edges) == count - 1
        assert neighbour_joining(kl).lengths.sum() == pytest.approx({1: 0, 2: 1, 3: 1.5}[count])


def test_newick_quotes_names_and_holds_every_model():
    kl, _ = random_tree(5, 0)
    names = ["a", "it's", "c d", "(e)", "f"]
    written = neighbour_joining(kl).newick(names)
    assert written.endswith(";")
    assert "'it''s'" in written
    assert written.count("'a'") == written.count("'(e)'") == 1
    assert neighbour_joining(np.zeros((1, 1))).newick(["x"]) == "'x';"


@pytest.mark.parametrize("kl", [np.ones((2, 3)), [[0, -1], [-1, 0]], [[0, np.nan], [np.nan, 0]]])
def test_what_is_no_divergence_matrix_is_refused(kl):
    with pytest.raises(InputError):
        neighbour_joining(kl)
