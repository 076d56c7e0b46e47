"""Generations, roots and impossible claims."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.lineage.agreement import single_claims
from mlflow_modelmap.numerics.lineage.claimed_graph import lineage, nearest_candidates


def test_generations_roots_and_descendants():
    graph = lineage("abcdem", {"b": "a", "c": "b", "d": ["a"], "m": ["c", "d"], "e": "m"})
    assert graph.generation == {"a": 0, "b": 1, "c": 2, "d": 1, "m": 3, "e": 4}
    assert graph.root == {"a": "a", "b": "a", "c": "a", "d": "a", "m": None, "e": None}
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


def test_descendants_are_no_candidates():
    kl = pd.DataFrame([[0, 5, 1], [5, 0, 9], [1, 9, 0.0]], index=list("abc"), columns=list("abc"))
    graph = lineage("abc", {"c": ["a"]})
    assert nearest_candidates(graph, kl) == {"a": "b", "b": "a", "c": "a"}
