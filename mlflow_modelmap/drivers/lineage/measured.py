"""Driver: what the scores of a lineage's models say - KL, trees made from it, and the claims."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.lineage.copies import copies_of
from mlflow_modelmap.drivers.lineage.members import Family
from mlflow_modelmap.drivers.lineage.table import lineage_table
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.lineage.agreement import Agreement, compare_trees
from mlflow_modelmap.numerics.lineage.claimed_graph import (
    Lineage,
    candidates,
    nearest_candidates,
)
from mlflow_modelmap.numerics.lineage.measured_tree import (
    Tree,
    minimum_spanning_tree,
    neighbour_joining,
)
from mlflow_modelmap.numerics.lineage.nearest_gap import (
    NearestGap,
    effective_texts,
    gap_and_error,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.sampling import Sampling, single_codes, units_of
from mlflow_modelmap.numerics.points.identical import first_identical
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.vectors import CONDITIONAL


@dataclass(frozen=True, eq=False)
class Measured:
    """The K models of a lineage that have a score, on N texts.

    Attributes
    ----------
    names
        Of the members, length K.
    points
        Their score runs, in the same order.
    coordinates
        Q, double-centred and scaled, shape (K, N).
    text_weights
        Shape (N,), or None where the texts count alike.
    kl, se
        Bits per byte, (K, K), named by member.
    table, agreement
        See `LineageResult`.
    nodes, leaves
        Which node of the trees each model is, and what these are called; copies share one.
    spanning, joined
        The minimum spanning tree, and that by neighbour joining.
    """

    names: list[str]
    points: list[Point]
    coordinates: np.ndarray
    text_weights: np.ndarray | None
    kl: pd.DataFrame
    se: pd.DataFrame
    table: pd.DataFrame
    agreement: Agreement
    nodes: list[int]
    leaves: list[str]
    spanning: Tree
    joined: Tree


def measure(
    family: Family,
    graph: Lineage,
    notices: list[str],
    named: Collection[str] = (),
    vector: str = CONDITIONAL,
) -> Measured:
    """Compare all members that have a score.

    Parameters
    ----------
    notices
        Why others have none; receives a sentence for each whose score cannot be read.
    named
        Ids of runs that are not left out for that.
    vector
        Which vectors of the models.

    Raises
    ------
    InputError
        If fewer than two have one, or they were scored on different texts.
    TrackingError
        If one of their artifacts is missing or damaged.
    """
    runs = {name: m.run for name, m in family.members.items() if m.run is not None}
    if len(runs) < 2:
        raise InputError(
            f"{len(runs)} of {len(family.members)} models could be measured; a lineage needs "
            f"two ({' '.join(notices)})."
        )
    matrix, points = read_matrix(list(runs.values()), notices=notices, named=named, vector=vector)
    read = {point.place for point in points}
    # A score may have been read from an earlier run of the same.
    names = [
        name for name, run in runs.items() if any(of.place in read for of in (run, *run.earlier))
    ]
    if len(names) < 2:
        raise InputError(
            f"{len(names)} of {len(family.members)} models could be measured; a lineage needs "
            f"two ({' '.join(notices)})."
        )
    copies = copies_of(family, graph, names, matrix.values)
    stay = [k for k, name in enumerate(names) if name not in copies.folded]
    if len(stay) < 2:
        raise InputError(
            f"The {len(names)} models {listed(names)} are the same on every text, so there is "
            "no lineage to measure; score another model."
        )
    if len(stay) < len(names):
        matrix = matrix.keep_points(np.array(stay))
        names, points = [names[k] for k in stay], [points[k] for k in stay]
    q = coordinates(matrix)
    values, errors = kl_with_standard_error(q, matrix.sampling)
    kl = pd.DataFrame(values, index=names, columns=names)
    se = pd.DataFrame(errors, index=names, columns=names)
    nearest = nearest_candidates(graph, kl, copies.same)
    gaps = nearest_gaps(graph, names, q, nearest, matrix.sampling, copies.same)
    own, nodes = np.unique(first_identical(matrix.values), return_inverse=True)
    differ = values[np.ix_(own, own)]
    spanning, joined = minimum_spanning_tree(differ), neighbour_joining(differ)
    return Measured(
        names=names,
        points=points,
        coordinates=q,
        text_weights=matrix.weights,
        kl=kl,
        se=se,
        table=lineage_table(family, graph, kl, se, nearest, gaps, copies.folded),
        agreement=compare_trees(graph, names, nearest, spanning, joined, nodes.tolist()),
        nodes=nodes.tolist(),
        leaves=[" = ".join(names[i] for i in np.flatnonzero(nodes == k)) for k in range(len(own))],
        spanning=spanning,
        joined=joined,
    )


def nearest_gaps(
    graph: Lineage,
    names: Sequence[str],
    q: np.ndarray,
    nearest: Mapping[str, str],
    sampling: Sampling | None = None,
    same: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[tuple[str, str], NearestGap]:
    """How much further each claimed parent is than the nearest candidate, by (child, parent).

    Parameters
    ----------
    names
        Of the measured models.
    q
        Their coordinates, shape (K, N).
    nearest
        From `nearest_candidates`.
    sampling
        How the texts were sampled, or None.
    same
        Of a model that has copies, their names; copies of a candidate are one.
    """
    row = {name: k for k, name in enumerate(names)}
    of = sampling or Sampling()
    documents = None if of.documents is None else single_codes(of.documents)
    texts = min(effective_texts(q.shape[1], of.shares), units_of(documents, q.shape[1]))
    found = {}
    for parent, child in graph.edges:
        if not {parent, child} <= row.keys() or child not in nearest:
            continue
        others = {*candidates(graph, child, names, same), parent}
        among = len({min({other, *same.get(other, ())} & others) for other in others})
        one, claimed, near = (q[row[name]] for name in (child, parent, nearest[child]))
        found[child, parent] = NearestGap(
            *gap_and_error(one, claimed, near, of.expected, documents), among, texts
        )
    return found
