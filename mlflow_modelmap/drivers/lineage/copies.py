"""Driver: models of a lineage that are the same on every text, under several names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlflow_modelmap.drivers.lineage.members import Family
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage
from mlflow_modelmap.numerics.points.identical import first_identical


class Copies(NamedTuple):
    """What is the same among K measured models.

    Attributes
    ----------
    folded
        From a name to the model that it is another name of: scores of no registered version, that
        claim no parent and are nobody's.
    same
        Of each model that stays and has copies that stay, their names.
    """

    folded: dict[str, str]
    same: dict[str, tuple[str, ...]]


def copies_of(family: Family, graph: Lineage, names: Sequence[str], values: np.ndarray) -> Copies:
    """Which of the models are copies of another.

    Parameters
    ----------
    names
        Of the K measured models.
    values
        Their log-likelihoods, shape (K, N).
    """
    first = first_identical(values)
    parents = {parent for parent, _ in graph.edges}
    folded: dict[str, str] = {}
    same: dict[str, tuple[str, ...]] = {}
    for of in np.unique(first[first < np.arange(len(first))]):
        group = [names[int(k)] for k in np.flatnonzero(first == of)]
        bound = [
            name
            for name in group
            if family.members[name].version is not None
            or graph.parents.get(name)
            or name in parents
        ] or group[:1]
        folded |= {name: bound[0] for name in group if name not in bound}
        for name in bound:
            others = tuple(other for other in bound if other != name)
            if others:
                same[name] = others
    return Copies(folded, same)
