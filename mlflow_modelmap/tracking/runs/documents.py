"""Tracking: which texts are pieces of one document, as the runs that meet on a map say it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.vector_table import Vectors


def documents_of(
    found: Sequence[tuple[Point, Vectors]], said: list[str] | None = None
) -> np.ndarray | None:
    """The documents of the texts by number, -1 for none: those of the runs that know them.

    Where runs disagree it is None, and `said` receives a sentence.
    """
    known = [read.documents for _, read in found if read.documents is not None]
    if not known:
        return None
    if all(np.array_equal(known[0], other) for other in known[1:]):
        return known[0]
    if said is not None:
        said.append(
            "The runs disagree about which texts are of one document, so texts count as "
            "independent, and standard errors may be too small; score on one text set file."
        )
    return None
