"""Driver: a score that is there already - found by its identity, believed by its own tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.scoring.settings import TRANSFORMERS
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.redact import redact

_SAYS = (
    *(schema.TAG_MODEL, schema.TAG_REVISION, schema.TAG_COMMIT, schema.TAG_PRECISION),
    *(schema.TAG_TEXT_SET, schema.TAG_TEXT_WEIGHTS),
)


def believed(prepared: Prepared, candidates: Iterable[Point]) -> Point | None:
    """The first of the runs with its identity that says the same of itself, or None."""
    return next((point for point in candidates if says_the_same(point, prepared)), None)


def says_the_same(point: Point, prepared: Prepared) -> bool:
    """Whether a run's own tags name the model, commit, precision, engine and texts asked for.

    Anyone can write a run, with any identity. One whose responses were scored without their prompts
    too serves whoever does not ask for that, and not the other way round.
    """
    if prepared.request.settings.unconditional and schema.TAG_UNCONDITIONAL not in point.tags:
        return False
    if point.tags.get(schema.TAG_ENGINE, TRANSFORMERS) != prepared.tags[schema.TAG_ENGINE]:
        return False
    return all(point.tags.get(tag) == _written(prepared.tags[tag]) for tag in _SAYS)


def _written(value: Any) -> str | None:
    """A tag's value as it would have been logged; None where there would be none."""
    return None if value is None else redact(str(value))
