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
# MLflow prints the traceback of a database's error; what is raised then says it in one sentence.
_LOGGERS = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "mlflow.tracking.fluent": logging.WARNING,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's bar per artifact, its "View run" lines, migrations and tracebacks.

    For the thread that starts others, not within them: it changes the whole process.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with changed_environment(_ENVIRONMENT):
        for name, level in _LOGGERS.items():
            logging.getLogger(name).setLevel(level)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
