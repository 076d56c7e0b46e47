"""Driver: a score that is there already - found by its identity, believed by its own tags."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.select_runs import Point
from mlflow_modelmap.words.redact import redact

_SAYS = (schema.TAG_MODEL, schema.TAG_COMMIT, schema.TAG_TEXT_SET, schema.TAG_PRECISION)


def found(prepared: Prepared, look: Callable[[str], Point | None]) -> Point | None:
    """The score that is there already, or None.

    Parameters
    ----------
    look
        Gives the finished run with an identity, if there is one.
    """
    for identity in prepared.identities:
        point = look(identity)
        if point is not None and says_the_same(point, prepared):
            return point
    return None


def says_the_same(point: Point, prepared: Prepared) -> bool:
    """Whether a run's own tags name the model, commit, text set and precision asked for.

    Anyone can write a run, with any identity.
    """
    return all(point.tags.get(tag) == redact(str(prepared.tags[tag])) for tag in _SAYS)
