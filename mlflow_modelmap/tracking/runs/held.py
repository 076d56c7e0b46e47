"""Tracking: what each experiment of a server holds of ours, by kind, for thousands of experiments.

MLflow's search gives whole runs, with all their metrics, and knows no counting: the same question
to each of 5,000 experiments takes minutes. A store without a database is asked that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mlflow.entities import LifecycleStage
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
from sqlalchemy import case, func, select

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import LATEST_TIME
from mlflow_modelmap.tracking.runs.point import started
from mlflow_modelmap.tracking.runs.readable_or_refused import unfinished
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.store.database import has_database, rows
from mlflow_modelmap.tracking.store.server_store import ServerStore, answering

_ACTIVE = LifecycleStage.ACTIVE


class Held(NamedTuple):
    """What an experiment holds of one of our kinds.

    Attributes
    ----------
    experiment_id, name
        Of the experiment.
    kind
        Of its runs, as their tag says.
    complete
        How many of them are at their end, and did not fail.
    latest
        When the last of them began, in milliseconds since 1970; 0 where none says so.
    """

    experiment_id: str
    name: str
    kind: str
    complete: int
    latest: int


def held_by_experiment(store: ServerStore, kinds: Sequence[str]) -> list[Held]:
    """What the active experiments that may be read hold of ours, by kind.

    Parameters
    ----------
    kinds
        Those whose runs are counted; an experiment that holds others alone is there too.

    Raises
    ------
    TrackingError
        If the store does not answer.
    """
    if not has_database(store.store):
        return _by_search(store, kinds)
    with answering():
        found = _in_sql(store.store)
    seen = set(store.may_read(list(dict.fromkeys(of.experiment_id for of in found))))
    return [of for of in found if of.experiment_id in seen]


def _by_search(store: ServerStore, kinds: Sequence[str]) -> list[Held]:
    known = {e.experiment_id: e.name for e in store.experiments()}
    found: list[Held] = []
    for kind in kinds:
        for run in store.search(list(known), of_kind(kind)):
            where = run.info.experiment_id
            complete = int(unfinished(run) is None)
            found.append(Held(where, known[where], kind, complete, started(run)))
    # An experiment with scores alone is found by any one of them: there may be ten thousand.
    rest = [where for where in known if where not in {of.experiment_id for of in found}]
    while runs := store.search(rest, f"tags.`{schema.TAG_KIND}` LIKE '%'", most=1):
        where = runs[0].info.experiment_id
        found.append(Held(where, known[where], "", 0, started(runs[0])))
        rest.remove(where)
    return found


def _in_sql(store: Any) -> list[Held]:
    """In one statement; the rules are those of `readable.unfinished`."""
    kind, failed = _tag(schema.TAG_KIND), _tag(schema.TAG_ERROR)
    ended = (SqlRun.status == "FINISHED") & failed.c.key.is_(None)
    complete = (kind.c.value == schema.KIND_MONITOR) | ended
    began = case((SqlRun.start_time.between(0, LATEST_TIME), SqlRun.start_time), else_=0)
    with store.ManagedSessionMaker() as session:
        experiments = (
            rows(store, session, SqlExperiment)
            .with_entities(SqlExperiment.experiment_id, SqlExperiment.name)
            .filter(SqlExperiment.lifecycle_stage == _ACTIVE)
            .subquery()
        )
        by = (experiments.c.experiment_id, experiments.c.name, kind.c.value)
        asked = (
            select(*by, func.sum(case((complete, 1), else_=0)), func.max(began))
            .select_from(SqlRun)
            .join(experiments, experiments.c.experiment_id == SqlRun.experiment_id)
            .join(kind, kind.c.run_uuid == SqlRun.run_uuid)
            .outerjoin(failed, failed.c.run_uuid == SqlRun.run_uuid)
            .where(SqlRun.lifecycle_stage == _ACTIVE)
            .group_by(*by)
        )
        return [
            Held(str(where), name or "", of or "", int(count), int(latest))
            for where, name, of, count, latest in session.execute(asked)
        ]


def _tag(key: str) -> Any:
    """The tags of this name, one a run."""
    return select(SqlTag.run_uuid, SqlTag.key, SqlTag.value).where(SqlTag.key == key).subquery()
