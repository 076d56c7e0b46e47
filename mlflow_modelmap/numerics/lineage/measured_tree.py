"""Numerics: trees of models made from KL divergences alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree

from mlflow_modelmap.errors import InputError


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

    @cached_property
    def graph(self) -> nx.Graph:
        """The tree with its nodes, and the ``length`` of each edge."""
        graph = nx.Graph()
        graph.add_nodes_from(range(self.models))
        for (a, b), length in zip(self.edges.tolist(), self.lengths.tolist(), strict=True):
            graph.add_edge(a, b, length=length)
        return graph

    def splits(self) -> set[frozenset[int]]:
        """For every edge, the models on the side that model 0 is not on."""
        rooted = nx.bfs_tree(self.graph, 0)
        below: dict[int, frozenset[int]] = {}
        for node in nx.dfs_postorder_nodes(rooted, 0):
            own = frozenset([node] if node < self.models else [])
            below[node] = own.union(*(below[child] for child in rooted.successors(node)))
        return {side for node, side in below.items() if node != 0}

    def newick(self, names: Sequence[str]) -> str:
        """The tree in Newick format, as programs for phylogenies read it.

        Parameters
        ----------
        names
            Of the K models.
        """
        start = max(self.graph)
        rooted = nx.bfs_tree(self.graph, start)
        written: dict[int, str] = {}
        for node in nx.dfs_postorder_nodes(rooted, start):
            inner = ",".join(
                f"{written[child]}:{self.graph.edges[node, child]['length']:.6g}"
                for child in rooted.successors(node)
            )
            name = "'" + names[node].replace("'", "''") + "'" if node < self.models else ""
            written[node] = f"({inner}){name}" if inner else name
        return written[start] + ";"


def minimum_spanning_tree(kl: ArrayLike) -> Tree:
    """The tree of least total KL divergence that joins all models.

    Parameters
    ----------
    kl
        Bits per byte, symmetric, shape (K, K).

    Raises
    ------
    InputError
        If `kl` is not square, symmetric, finite and 0 or more.
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

    Raises
    ------
    InputError
        If `kl` is not square, symmetric, finite and 0 or more.
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


def _checked(kl: ArrayLike) -> np.ndarray:
    kl = np.asarray(kl, dtype=np.float64)
    if kl.ndim != 2 or kl.shape[0] != kl.shape[1] or not len(kl):
        raise InputError(f"KL divergences of shape {kl.shape} are no square matrix.")
    if not np.isfinite(kl).all() or (kl < 0).any() or not np.allclose(kl, kl.T):
        raise InputError("KL divergences must be finite, symmetric and not negative.")
    return kl
