"""Driver: one model under several names counts once, where points are counted or paired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.points.identical import first_identical
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.listed import listed

_TOLD = 5
"""So many groups of copies are named."""


def fold(
    matrix: LogLikelihoodMatrix, points: Sequence[Point], notices: list[str]
) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """The points without those that are others under further names; `notices` names these.

    Two points are one model if their log-likelihoods are the same to the bit and what is said of
    them differs in nothing that makes another point: precision, adapter, prompt, layer, place along
    a training. A child that is the same as the parent that it names stays, at KL 0. Of several the
    one stays that says most of itself, among equals the first.
    """
    first = first_identical(matrix.values)
    gone: dict[int, int] = {}
    for of in np.unique(first[first < np.arange(len(first))]):
        members = [int(k) for k in np.flatnonzero(first == of)]
        members.sort(key=lambda k: (-_told(points[k]), k))
        kept: list[int] = []
        for k in members:
            twin = next((j for j in kept if _one(points[j], points[k])), None)
            if twin is None:
                kept.append(k)
            else:
                gone[k] = twin
    if not gone:
        return matrix, list(points)
    groups: dict[int, list[str]] = {}
    for k, twin in gone.items():
        groups.setdefault(twin, []).append(points[k].name)
    said = "; ".join(
        f"{points[twin].name!r} is also {listed(names)}"
        for twin, names in list(groups.items())[:_TOLD]
    )
    more = f"; and {len(groups) - _TOLD} more" if len(groups) > _TOLD else ""
    notices.append(f"Models that are the same on every text count once: {said}{more}.")
    own = [k for k in range(len(points)) if k not in gone]
    return matrix.keep_points(np.array(own)), [points[k] for k in own]


def _told(point: Point) -> int:
    """How much a point says of where it comes from."""
    said = (point.trajectory, point.step, point.base_model, point.model_type)
    return sum(value is not None for value in said)


def _one(one: Point, other: Point) -> bool:
    """Whether two points that are equal on every text may be one model."""
    if one.run_id == other.run_id:
        return False  # a run's own points are told apart by whoever made it
    for name in ("layer", "prompted"):
        if getattr(one, name) != getattr(other, name):
            return False
    for of in (schema.TAG_ADAPTER, schema.TAG_PROMPT, schema.TAG_INT8_THRESHOLD):
        if one.tags.get(of) != other.tags.get(of):
            return False
    for name in ("precision", "trajectory", "step"):
        values = {getattr(one, name), getattr(other, name)} - {None}
        if len(values) > 1:
            return False
    return one.base_model not in _names(other) and other.base_model not in _names(one)


def _names(point: Point) -> set[str | None]:
    return {point.name, point.model, f"{point.model}@{point.revision}", point.run_id}
