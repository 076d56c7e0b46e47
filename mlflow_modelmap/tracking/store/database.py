"""Tracking: the database behind a server's own store, where it has one, asked in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mlflow.entities import LifecycleStage
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def has_database(store: Any) -> bool:
    """Whether a store of MLflow can be asked in SQL."""
    return isinstance(store, SqlAlchemyStore)


def rows(store: Any, session: Any, model: Any) -> Any:
    """A query for a table's rows, of the caller's own workspace where this MLflow has such."""
    of_workspace = getattr(store, "_get_query", None)
    return of_workspace(session, model) if of_workspace else session.query(model)


def experiment_of(store: Any, run_id: str) -> str | None:
    """The id of the experiment that holds a run, deleted ones too; None where there is no run.

    Whether there is one or not, and whatever it holds, the database does the same.
    """
    with store.ManagedSessionMaker() as session:
        found = (
            rows(store, session, SqlRun)
            .with_entities(SqlRun.experiment_id)
            .filter(SqlRun.run_uuid == run_id)
            .first()
        )
    return None if found is None else str(found[0])


def tags_of(
    store: Any, run_ids: Sequence[str], experiment_ids: Collection[str], at_once: int
) -> dict[str, tuple[str, dict[str, str]]]:
    """Of the active runs among these, in these experiments: experiment id and tags, by run id.

    A search gives whole runs, with all their metrics and params, which takes ten times as long.

    Parameters
    ----------
    at_once
        Ids in one statement.
    """
    found: dict[str, tuple[str, dict[str, str]]] = {}
    with store.ManagedSessionMaker() as session:
        for start in range(0, len(run_ids), at_once):
            ids = run_ids[start : start + at_once]
            runs = (
                rows(store, session, SqlRun)
                .with_entities(SqlRun.run_uuid, SqlRun.experiment_id)
                .filter(SqlRun.run_uuid.in_(ids), SqlRun.lifecycle_stage == LifecycleStage.ACTIVE)
            )
            here = {str(run): str(of) for run, of in runs if str(of) in experiment_ids}
            found |= {run: (of, {}) for run, of in here.items()}
            tags = session.query(SqlTag.run_uuid, SqlTag.key, SqlTag.value)
            for run, name, value in tags.filter(SqlTag.run_uuid.in_(list(here))):
                found[run][1][name] = value
    return found
