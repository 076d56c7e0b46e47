"""Tracking: MLflow without the noise that it makes in a terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping

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

_MIGRATIONS = [
    logging.getLogger(name) for name in ("alembic.runtime.migration", "mlflow.store.db.utils")
]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's bar per artifact, its "View run" lines, migrations and tracebacks.

    For the thread that starts others, not within them: it changes the whole process.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    hushed = hush_migrations()
    with changed_environment(_ENVIRONMENT):
        _set(_LOGGERS)
        try:
            yield
        finally:
            _set(levels)
            if hushed:
                for logger in _MIGRATIONS:
                    logger.removeFilter(_warnings_alone)


def hush_migrations() -> bool:
    """Silence what each opening of a database says, for good; False where it is silent already.

    A level would not do: where it makes tables, MLflow 3.5 sets the loggers' levels anew.
    """
    if _warnings_alone in _MIGRATIONS[0].filters:
        return False
    for logger in _MIGRATIONS:
        logger.addFilter(_warnings_alone)
    return True


def _warnings_alone(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _set(levels: Mapping[str, int]) -> None:
    """Set levels that are others: each time logging forgets what it knows of every logger."""
    for name, level in levels.items():
        if logging.getLogger(name).level != level:
            logging.getLogger(name).setLevel(level)
