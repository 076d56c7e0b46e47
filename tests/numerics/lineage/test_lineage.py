"""Generations and impossible claims; trees recovered from generated distances."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.lineage.claimed_graph import lineage, nearest_candidates
from mlflow_modelmap.numerics.lineage.measured_tree import (
    compare_trees,
    minimum_spanning_tree,
    neighbour_joining,
    single_claims,
)


def test_generations_roots_and_merges():
    graph = lineage("abcdem", {"b": "a", "c": "b", "d": ["a"], "m": ["c", "d"], "e": "m"})
    assert graph.generation == {"a": 0, "b": 1, "c": 2, "d": 1, "m": 3, "e": 4}
    assert graph.root == {"a": "a", "b": "a", "c": "a", "d": "a", "m": None, "e": None}
    assert graph.merges == ("m",)
    assert graph.descendants("b") == {"c", "m", "e"}
    assert graph.cycles == ()


def test_a_missing_parent_is_a_root_of_its_own():
    graph = lineage(["child", "grandchild"], {"child": ["gone"], "grandchild": ["child"]})
    assert graph.missing == ("gone",)
    assert graph.generation == {"child": 1, "grandchild": 2, "gone": 0}
    assert graph.root["grandchild"] == "gone"


def test_a_self_parent_is_dropped_and_said():
    graph = lineage("ab", {"a": ["a"], "b": ["b", "a"]})
    assert graph.self_parents == ("a", "b")
    assert graph.generation == {"a": 0, "b": 1}


def test_cycles_are_named_once_and_have_no_generation():
    graph = lineage("abcdxy", {"a": "c", "b": "a", "c": "b", "d": "c", "x": "y", "y": "x"})
    assert [set(cycle) for cycle in graph.cycles] == [set("abc"), set("xy")]
    cycle = graph.cycles[0]
    assert all(graph.parents[child] == (parent,) for parent, child in pairwise(cycle))
    assert graph.generation == dict.fromkeys("abcdxy")
    assert single_claims(graph, "abcdxy") == []


def test_a_claim_about_an_unknown_child_is_refused():
    with pytest.raises(InputError, match="'b', which is not among"):
        lineage("a", {"b": ["a"]})


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3)))
def test_every_child_is_deeper_than_its_parents(claims):
    claims = {str(c): [str(p) for p in ps] for c, ps in claims.items()}
    graph = lineage(map(str, range(10)), claims)
    for parent, child in graph.edges:
        if graph.generation[child] is not None:
            assert graph.generation[parent] < graph.generation[child]
    ordered = {m for m, g in graph.generation.items() if g is not None}
    on_cycle = {m for cycle in graph.cycles for m in cycle}
    assert not ordered & on_cycle
    assert (len(ordered) == len(graph.generation)) == (not graph.cycles)


def random_tree(count, seed):
    """Additive distances of a random tree whose nodes are all observed; parent of each node."""
    rng = np.random.default_rng(seed)
    parent = [int(rng.integers(0, k)) for k in range(1, count)]
    weights = np.zeros((count, count))
    for child, above in enumerate(parent, start=1):
        weights[child, above] = rng.uniform(0.1, 1.0)
    return shortest_path(weights, directed=False), parent


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
    full = coo_array((joined.lengths + 1e-12, tuple(joined.edges.T)), shape=size).tocsr()
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


def test_descendants_are_no_candidates():
    kl = pd.DataFrame([[0, 5, 1], [5, 0, 9], [1, 9, 0.0]], index=list("abc"), columns=list("abc"))
    graph = lineage("abc", {"c": ["a"]})
    assert nearest_candidates(graph, kl) == {"a": "b", "b": "a", "c": "a"}


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
