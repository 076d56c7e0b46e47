"""Tracking: MLflow without the noise that it makes in a terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from mlflow_modelmap.environment import changed_environment

_ENVIRONMENT = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LOGGERS = ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's bar per artifact, its "View run" lines and its database migrations.

    For the thread that starts others, not within them: it changes the whole process.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with changed_environment(_ENVIRONMENT):
        for name in levels:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
