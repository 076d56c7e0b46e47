"""A server's own store: what may not be read is asked for exactly as what is not there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from mlflow_modelmap.tracking.store.server_store import ServerStore


def test_what_may_not_be_read_is_asked_for_as_what_is_not_there(store):
    client = MlflowClient(store)
    where = client.get_experiment_by_name("test").experiment_id
    heavy = client.create_run(where).info.run_id
    client.log_batch(heavy, [Metric(f"m{k}", 1.0, 1, 1) for k in range(900)])
    client.log_batch(heavy, params=[Param(f"p{k}", "x" * 500) for k in range(90)])
    deleted = client.create_run(where).info.run_id
    client.delete_run(deleted)
    asked: list[Sequence[str]] = []
    statements: list[str] = []

    def nobody(ids: Sequence[str]) -> list[str]:
        asked.append(ids)
        return []

    own = client._tracking_client.store
    page = ServerStore(own, lambda uri: uri, nobody)
    sqlalchemy.event.listen(
        own.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    done = []
    for run_id in (heavy, deleted, "0" * 32):
        asked.clear()
        statements.clear()
        assert page.find_run(run_id) is None
        done.append((list(statements), len(asked), [len(ids) for ids in asked]))
    assert done[0] == done[1] == done[2]
    assert done[0][1] == 1
    for statement in done[0][0]:
        assert "metrics" not in statement
        assert "params" not in statement
    done.clear()
    for experiment in (where, "98765"):
        asked.clear()
        statements.clear()
        assert page.find_experiment(experiment) is None
        done.append((list(statements), len(asked)))
    assert done[0] == done[1] == ([], 1)


@pytest.mark.parametrize("readable", [True, False])
def test_a_run_is_found_by_those_who_may_read_it(store, readable):
    client = MlflowClient(store)
    where = client.get_experiment_by_name("test").experiment_id
    run_id = client.create_run(where).info.run_id
    page = ServerStore(
        client._tracking_client.store, lambda uri: uri, lambda ids: ids if readable else []
    )
    found = page.find_run(run_id)
    assert (found is not None) == readable
    assert page.find_run("no such run") is None
