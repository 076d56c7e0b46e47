"""Numerics: the lineage graph - who was made from whom, generations, and claims that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import networkx as nx
import pandas as pd

from mlflow_modelmap.errors import InputError


@dataclass(frozen=True)
class Lineage:
    """What claims of parentage amount to.

    Attributes
    ----------
    parents
        Parents of every model, in the claims' order; none of a model itself.
    generation
        Depth from the root model (Section 3.3): 0 for a model without parents, else one more than
        its deepest parent; None on a cycle and below one.
    root
        The first model of each model's line, through first parents; None for merges, what descends
        from them, and cycles.
    missing
        Parents that are claimed but are not among the models.
    self_parents
        Models that name themselves; such a claim is dropped.
    cycles
        Models of each cycle, in order from parent to child, each cycle once.
    """

    parents: Mapping[str, tuple[str, ...]]
    generation: Mapping[str, int | None]
    root: Mapping[str, str | None]
    missing: tuple[str, ...]
    self_parents: tuple[str, ...]
    cycles: tuple[tuple[str, ...], ...]

    @property
    def edges(self) -> list[tuple[str, str]]:
        """(parent, child) of every claim, merges and cycles included."""
        return [(parent, child) for child, parents in self.parents.items() for parent in parents]

    @cached_property
    def graph(self) -> nx.DiGraph:
        """Every model, and an edge from parent to child for each claim."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.parents)
        graph.add_edges_from(self.edges)
        return graph

    def descendants(self, model: str) -> set[str]:
        """All others that were made from a model, at any distance."""
        return set(nx.descendants(self.graph, model))


def lineage(models: Iterable[str], claims: Mapping[str, Sequence[str]]) -> Lineage:
    """Order models into generations by who is claimed to be whose parent (Section 3.3).

    Parameters
    ----------
    models
        Names of the models at hand.
    claims
        Parents of a child, by its name; a name twice counts once.

    Raises
    ------
    InputError
        If a claim is about a child that is not among the models.

    Notes
    -----
    A missing parent is a node of its own: generation 0, unless it is a root's own name.
    """
    there = list(dict.fromkeys(models))
    unknown = [child for child in claims if child not in set(there)]
    if unknown:
        raise InputError(f"A parent is claimed for {unknown[0]!r}, which is not among the models.")
    named = {model: tuple(dict.fromkeys(claims.get(model, ()))) for model in there}
    selfish = tuple(model for model in there if model in named[model])
    parents = {m: tuple(p for p in ps if p != m) for m, ps in named.items()}
    missing = tuple(dict.fromkeys(p for ps in parents.values() for p in ps if p not in parents))
    parents.update(dict.fromkeys(missing, ()))
    generation: dict[str, int | None] = dict.fromkeys(parents)
    root: dict[str, str | None] = dict.fromkeys(parents)
    graph = nx.DiGraph()
    graph.add_nodes_from(parents)
    graph.add_edges_from((p, child) for child, ps in parents.items() for p in ps)
    turning = [m for part in nx.strongly_connected_components(graph) if len(part) > 1 for m in part]
    unordered = set(turning).union(*(nx.descendants(graph, m) for m in turning))
    graph.remove_nodes_from(unordered)
    for depth, layer in enumerate(nx.topological_generations(graph)):
        for model in layer:
            generation[model] = depth
            ps = parents[model]
            if len(ps) < 2:
                root[model] = root[ps[0]] if ps else model
    return Lineage(parents, generation, root, missing, selfish, _cycles(parents, unordered))


def _cycles(
    parents: Mapping[str, tuple[str, ...]], unordered: set[str]
) -> tuple[tuple[str, ...], ...]:
    """The cycle that each model runs into when it follows first parents that have no order."""
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for start in parents:
        path: list[str] = []
        model: str | None = start if start in unordered else None
        while model is not None and model not in path:
            path.append(model)
            model = next((p for p in parents[model] if p in unordered), None)
        if model is not None:
            cycle = path[path.index(model) :][::-1]
            found.setdefault(frozenset(cycle), tuple(cycle))
    return tuple(found.values())


def nearest_candidates(
    graph: Lineage, kl: pd.DataFrame, same: Mapping[str, Iterable[str]] = MappingProxyType({})
) -> dict[str, str]:
    """For each measured model, the nearest other one that does not descend from it.

    KL is symmetric, so a model's child may be as near as its parent; claimed descendants are
    therefore no candidates, and neither are copies of these and of the model. Of candidates at the
    same KL, as copies of the parent are, the claimed one counts.

    Parameters
    ----------
    kl
        Bits per byte, square, named by model on both sides; each of them in `graph`.
    same
        Of a model that has copies among them, their names.

    Returns
    -------
    dict
        From model to the nearest; without models that have no candidate.
    """
    found = {}
    for model in kl.index:
        row = kl.loc[model, candidates(graph, model, kl.columns, same)]
        if not row.empty:
            nearest = row.index[row == row.min()]
            claimed = [parent for parent in graph.parents[model] if parent in nearest]
            found[model] = str((claimed or [*nearest])[0])
    return found


def candidates(
    graph: Lineage,
    model: str,
    measured: Iterable[str],
    same: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> list[str]:
    """Those of the measured models that may be a model's parent.

    Neither itself nor its descendants by claims, and of the copies of these (`same`) none but a
    claimed parent.
    """
    below = graph.descendants(model) | {model}
    copies = {copy for one in below for copy in same.get(one, ())} - {*graph.parents[model]}
    out = below | copies
    return [other for other in measured if other not in out]
