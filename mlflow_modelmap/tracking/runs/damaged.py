"""Tracking: what the artifacts of a run hold does not fit together - in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlflow_modelmap.errors import ModelMapError, TrackingError
from mlflow_modelmap.words.reason import reason_with_type


@contextlib.contextmanager
def whole(run_id: str) -> Iterator[None]:
    """Say that a run is damaged, whatever pandas and numpy make of what it holds.

    Raises
    ------
    TrackingError
    """
    try:
        yield
    except ModelMapError:
        raise
    except Exception as error:
        raise TrackingError(
            f"Run {run_id} is damaged: what its artifacts hold does not fit together "
            f"({reason_with_type(error)}); make it again."
        ) from error
