"""Tracking: the database behind a server's own store, where it has one, asked in SQL."""

from __future__ import annotations

from typing import Any

from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def has_database(store: Any) -> bool:
    """Whether a store of MLflow can be asked in SQL."""
    return isinstance(store, SqlAlchemyStore)


def experiment_of(store: Any, run_id: str) -> str | None:
    """The id of the experiment that holds a run, deleted ones too; None where there is no run.

    Whether there is one or not, and whatever it holds, the database does the same.
    """
    with store.ManagedSessionMaker() as session:
        found = (
            store._get_query(session, SqlRun)
            .with_entities(SqlRun.experiment_id)
            .filter(SqlRun.run_uuid == run_id)
            .first()
        )
    return None if found is None else str(found[0])
