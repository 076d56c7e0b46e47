"""Tracking: whether vectors that meet are of the same parts of the same texts, weighted alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.matrix.log_likelihoods import shares_of
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.vector_table import Vectors
from mlflow_modelmap.words.shortened import shortened


def check_same_parts(found: Sequence[tuple[Point, Vectors]]) -> None:
    """Refuse runs that hold other texts than the first, or other parts of them.

    Raises
    ------
    TrackingError, InputError
        Which names two runs.
    """
    first, reference = found[0][0], found[0][1].bytes
    for run, read in found:
        if len(read.bytes) != len(reference):
            raise TrackingError(
                f"Run {run.run_id} ({_name(run)}) holds {len(read.bytes)} texts but run "
                f"{first.run_id} ({_name(first)}) holds {len(reference)} of the same text set; "
                "one of them is damaged, so score it again or leave it out."
            )
        if not np.array_equal(read.bytes, reference):
            text = int(np.flatnonzero(read.bytes != reference)[0])
            raise InputError(
                f"{_name(first)} scored {reference[text]} bytes of text {text} and {_name(run)} "
                f"{read.bytes[text]}, because one of them truncated it; make the texts short "
                "enough for every model, or leave one out."
            )


def check_same_weights(found: Sequence[tuple[Point, Vectors]]) -> None:
    """Refuse runs whose texts have other weights; their scale may differ, none are equal ones.

    Raises
    ------
    InputError
        Which names two runs.
    """
    first, vectors = found[0]
    texts = len(vectors.bytes)
    reference = _shares(vectors, texts)
    for run, read in found:
        if read.weights is vectors.weights:
            continue
        if not np.allclose(_shares(read, texts), reference, rtol=1e-9, atol=0.0):
            raise InputError(
                f"Run {run.run_id} ({_name(run)}) and run {first.run_id} ({_name(first)}) give the "
                "same texts different weights; score both on the same weighted text set, or leave "
                f"one of them out (the tag {schema.TAG_TEXT_WEIGHTS} tells weighted runs apart)."
            )


def _name(run: Point) -> str:
    return repr(shortened(run.name, 60))


def _shares(vectors: Vectors, texts: int) -> np.ndarray:
    shares = None if vectors.weights is None else shares_of(vectors.weights)
    return np.full(texts, 1.0 / texts) if shares is None else shares
