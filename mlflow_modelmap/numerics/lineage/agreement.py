"""Numerics: how far a claimed lineage and trees made without it agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage
from mlflow_modelmap.numerics.lineage.measured_tree import Tree


@dataclass(frozen=True)
class Agreement:
    """How far a claimed lineage and trees made without it agree.

    Attributes
    ----------
    claimed
        Claims of one parent whose both ends were measured.
    nearest
        How many children have that parent as nearest candidate.
    spanning
        How many claims are edges of the minimum spanning tree.
    steps
        Mean number of its edges between child and claimed parent; 1 is full agreement.
    families
        Claimed families (a model with all that descends from it) of 2 .. K - 2 measured models.
    joined
        How many of them are one side of a branch of the neighbour-joining tree.
    """

    claimed: int
    nearest: int
    spanning: int
    steps: float
    families: int
    joined: int


def compare_trees(
    graph: Lineage,
    models: Sequence[str],
    nearest: dict[str, str],
    spanning: Tree,
    joined: Tree,
    nodes: Sequence[int] | None = None,
) -> Agreement:
    """Compare a claimed lineage with trees of the same measured models; merges are left out.

    A claimed parent that is a copy of its child is its neighbour.

    Parameters
    ----------
    graph
        The claims.
    models
        Names of the K measured models, in the order of both trees.
    nearest
        From `nearest_candidates`.
    spanning, joined
        Minimum spanning tree and neighbour-joining tree of the models.
    nodes
        Which node of the trees each model is, where copies share one.
    """
    index = dict(zip(models, range(len(models)) if nodes is None else nodes, strict=True))
    claims = single_claims(graph, models)
    ends = {frozenset(edge) for edge in spanning.edges.tolist()}
    size = spanning.models
    distances = [
        max(1, nx.shortest_path_length(spanning.graph, index[child], index[parent]))
        for parent, child in claims
    ]
    families = {
        frozenset(index[m] for m in {model, *graph.descendants(model)} if m in index)
        for model in graph.parents
        if graph.generation[model] is not None
    }
    families = {family for family in families if 2 <= len(family) <= size - 2}
    # A branch has two sides; the family may be either.
    splits = joined.splits()
    whole = frozenset(range(size))
    return Agreement(
        claimed=len(claims),
        nearest=sum(nearest.get(child) == parent for parent, child in claims),
        spanning=sum(index[p] == index[c] or {index[p], index[c]} in ends for p, c in claims),
        steps=float(np.mean(distances)) if distances else float("nan"),
        families=len(families),
        joined=sum(f in splits or whole - f in splits for f in families),
    )


def single_claims(graph: Lineage, models: Iterable[str]) -> list[tuple[str, str]]:
    """(parent, child) of every measured pair, without merges and what is on or below a cycle."""
    measured = set(models)
    return [
        (parents[0], child)
        for child, parents in graph.parents.items()
        if len(parents) == 1
        and {child, parents[0]} <= measured
        and graph.generation[child] is not None
    ]
