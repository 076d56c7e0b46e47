"""Numerics: trees made from KL divergences alone, and how a claimed lineage agrees with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree
from scipy.sparse.csgraph import shortest_path

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage


@dataclass(frozen=True, eq=False)
class Tree:
    """An unrooted tree.

    Attributes
    ----------
    edges
        Pairs of nodes, int, shape (E, 2). Nodes 0 .. K - 1 are the models; higher ones are
        branchings that neighbour joining supposes.
    lengths
        Bits per byte, shape (E,).
    models
        K.
    """

    edges: np.ndarray
    lengths: np.ndarray
    models: int

    def splits(self) -> set[frozenset[int]]:
        """For every edge, the models on the side that model 0 is not on."""
        neighbours: dict[int, list[int]] = {}
        for a, b in self.edges.tolist():
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
        order, above = [0], {0: -1}
        for node in order:
            for other in neighbours.get(node, ()):
                if other != above[node]:
                    above[other] = node
                    order.append(other)
        below: dict[int, set[int]] = {}
        for node in reversed(order):
            own = below.setdefault(node, set())
            if node < self.models:
                own.add(node)
            if above[node] >= 0:
                below.setdefault(above[node], set()).update(own)
        return {frozenset(side) for node, side in below.items() if node != 0}

    def newick(self, names: Sequence[str]) -> str:
        """The tree in Newick format, as programs for phylogenies read it."""
        neighbours: dict[int, list[tuple[int, float]]] = {}
        for (a, b), length in zip(self.edges.tolist(), self.lengths.tolist(), strict=True):
            neighbours.setdefault(a, []).append((b, length))
            neighbours.setdefault(b, []).append((a, length))
        start = max(neighbours, default=0)
        written: dict[int, str] = {}
        stack = [(start, -1, False)]
        while stack:
            node, above, ready = stack.pop()
            following = [(n, length) for n, length in neighbours.get(node, ()) if n != above]
            if not ready:
                stack.append((node, above, True))
                stack += [(n, node, False) for n, _ in following]
                continue
            inner = ",".join(f"{written[n]}:{length:.6g}" for n, length in following)
            name = "'" + names[node].replace("'", "''") + "'" if node < self.models else ""
            written[node] = f"({inner}){name}" if inner else name
        return written[start] + ";"


def minimum_spanning_tree(kl: ArrayLike) -> Tree:
    """The tree of least total KL divergence that joins all models.

    Parameters
    ----------
    kl
        Bits per byte, symmetric, shape (K, K).
    """
    kl = _checked(kl)
    # scipy takes 0 for "no edge"; ranks keep the order, and equal models stay joined.
    ranks = np.unique(kl, return_inverse=True)[1].reshape(kl.shape) + 1.0
    found = scipy_tree(csr_array(np.triu(ranks, 1))).tocoo()
    edges = np.stack([found.row, found.col], axis=1).astype(np.intp)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    return Tree(edges, kl[edges[:, 0], edges[:, 1]], len(kl))


def neighbour_joining(kl: ArrayLike) -> Tree:
    """Saitou and Nei's tree, exact where KL adds up along branches.

    KL is a squared distance, and changes that are independent of each other are nearly at right
    angles in the coordinates of so many texts; so it adds up along a lineage of fine-tunes, as
    neighbour joining supposes, while its root does not. Models that are others' parents end up at
    the end of branches of length near 0.

    Parameters
    ----------
    kl
        Bits per byte, symmetric, shape (K, K).
    """
    distance = _checked(kl).copy()
    count = len(distance)
    nodes = list(range(count))
    edges: list[tuple[int, int]] = []
    lengths: list[float] = []
    fresh = count
    while len(nodes) > 2:
        size = len(nodes)
        totals = distance.sum(axis=1)
        score = (size - 2) * distance - totals[:, None] - totals
        np.fill_diagonal(score, np.inf)
        i, j = divmod(int(np.argmin(score)), size)
        i, j = min(i, j), max(i, j)
        half = 0.5 * distance[i, j]
        tilt = (totals[i] - totals[j]) / (2.0 * (size - 2))
        first = float(np.clip(half + tilt, 0.0, distance[i, j]))
        edges += [(fresh, nodes[i]), (fresh, nodes[j])]
        lengths += [first, float(distance[i, j]) - first]
        joined = np.maximum(0.5 * (distance[i] + distance[j] - distance[i, j]), 0.0)
        keep = np.array([k for k in range(size) if k not in (i, j)])
        smaller = np.empty((size - 1, size - 1))
        smaller[:-1, :-1] = distance[np.ix_(keep, keep)]
        smaller[-1, :-1] = smaller[:-1, -1] = joined[keep]
        smaller[-1, -1] = 0.0
        distance = smaller
        nodes = [nodes[k] for k in keep] + [fresh]
        fresh += 1
    if len(nodes) == 2:
        edges.append((nodes[0], nodes[1]))
        lengths.append(float(distance[0, 1]))
    return Tree(np.array(edges, dtype=np.intp).reshape(-1, 2), np.array(lengths), count)


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
) -> Agreement:
    """Compare a claimed lineage with trees of the same measured models; merges are left out."""
    index = {model: k for k, model in enumerate(models)}
    claims = single_claims(graph, models)
    ends = {frozenset(edge) for edge in spanning.edges.tolist()}
    a, b = spanning.edges.T if len(spanning.edges) else (np.empty(0, int), np.empty(0, int))
    size = len(models)
    hops = shortest_path(
        csr_array((np.ones(len(a)), (a, b)), shape=(size, size)), directed=False, unweighted=True
    )
    distances = [hops[index[child], index[parent]] for parent, child in claims]
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
        spanning=sum(frozenset((index[p], index[c])) in ends for p, c in claims),
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


def _checked(kl: ArrayLike) -> np.ndarray:
    kl = np.asarray(kl, dtype=np.float64)
    if kl.ndim != 2 or kl.shape[0] != kl.shape[1] or not len(kl):
        raise InputError(f"KL divergences of shape {kl.shape} are no square matrix.")
    if not np.isfinite(kl).all() or (kl < 0).any() or not np.allclose(kl, kl.T):
        raise InputError("KL divergences must be finite, symmetric and not negative.")
    return kl
