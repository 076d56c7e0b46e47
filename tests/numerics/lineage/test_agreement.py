"""Claims and trees that agree, and a wrong claim."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from mlflow_modelmap.numerics.lineage.agreement import compare_trees
from mlflow_modelmap.numerics.lineage.claimed_graph import lineage, nearest_candidates
from mlflow_modelmap.numerics.lineage.measured_tree import minimum_spanning_tree, neighbour_joining
from tests.numerics.generated import random_tree


@pytest.mark.parametrize("seed", range(5))
def test_both_trees_are_exact_on_additive_distances(seed):
    kl, parent = random_tree(14, seed)
    names = [f"m{k}" for k in range(14)]
    graph = lineage(names, {f"m{c}": [f"m{p}"] for c, p in enumerate(parent, start=1)})
    spanning = minimum_spanning_tree(kl)
    edges = {frozenset(e) for e in spanning.edges.tolist()}
    assert edges == {frozenset((c, p)) for c, p in enumerate(parent, start=1)}
    joined = neighbour_joining(kl)
    size = (joined.edges.max() + 1,) * 2
    ends = tuple(joined.edges.T.astype("int32"))
    full = coo_array((joined.lengths + 1e-12, ends), shape=size).tocsr()
    assert shortest_path(full, directed=False)[:14, :14] == pytest.approx(kl, abs=1e-9)
    found = compare_trees(graph, names, {}, spanning, joined)
    assert (found.claimed, found.spanning, found.steps) == (13, 13, 1.0)
    assert found.joined == found.families > 0


def test_a_wrong_claim_is_seen():
    kl, _ = random_tree(8, 3)
    names = list("abcdefgh")
    frame = pd.DataFrame(kl, index=names, columns=names)
    far = frame.loc["h"].idxmax()
    graph = lineage(names, {"h": [far]})
    nearest = nearest_candidates(graph, frame)
    assert nearest["h"] != far
    found = compare_trees(graph, names, nearest, minimum_spanning_tree(kl), neighbour_joining(kl))
    assert (found.nearest, found.spanning) == (0, 0)
    assert found.steps > 1
