"""A new database is made by one process at a time, and one that is half-made is named."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.store.first_use import ready
from tests import forking, postgres

TOUCH = """
import os, sys, time
import mlflow
from mlflow.store.tracking import sqlalchemy_store  # what takes long to import
from mlflow_modelmap.tracking.store.first_use import ready

open(f"ready-{os.getpid()}", "w").close()
while not os.path.exists("go"):
    time.sleep(0.001)
for uri in sys.argv[1:]:
    ready(uri)
    client = mlflow.MlflowClient(uri)
    run = client.create_run("0").info.run_id
    client.log_param(run, "made", "by one of many")
    client.set_terminated(run)
"""


def touched(folder: Path, processes: int, uris: list[str]) -> list[str]:
    """New stores, each first touched by so many processes at the same moment."""
    started = [forking.Process("-c", TOUCH, *uris, cwd=folder) for _ in range(processes)]
    while len(list(folder.glob("ready-*"))) < processes:
        assert all(process.poll() is None for process in started)
        time.sleep(0.05)
    (folder / "go").touch()
    for process in started:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return uris


def new_files(folder: Path, stores: int) -> list[str]:
    return [f"sqlite:///{folder / f'{k}.db'}" for k in range(stores)]


def check_whole(uris: list[str], runs: int) -> None:
    for uri in uris:
        client = mlflow.MlflowClient(uri)
        assert len(client.search_runs(["0"])) == runs
        folder = Path(uri.partition("///")[2]).parent
        assert not list(folder.glob(".*.making")), "what was made beside is gone"


def test_three_processes_first_touch_two_new_stores(tmp_path):
    check_whole(touched(tmp_path, 3, new_files(tmp_path, 2)), 3)


@pytest.mark.heavy
def test_eight_processes_first_touch_twenty_new_stores(tmp_path):
    check_whole(touched(tmp_path, 8, new_files(tmp_path, 20)), 8)


@pytest.mark.slow
@pytest.mark.skipif(postgres.missing() is not None, reason=postgres.missing() or "")
def test_four_processes_first_touch_three_new_postgresql_databases(tmp_path):
    with postgres.running() as server:
        uris = [postgres.create_database(server, f"store {k}") for k in range(3)]
        check_whole(touched(tmp_path, 4, uris), 4)


def test_a_process_that_is_killed_while_making_a_store_leaves_none_behind(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = TOUCH.replace("while not", "while False and not")
    process = forking.Process("-c", code, uri, cwd=tmp_path)
    while not list(tmp_path.glob(".mlflow.db.*.making")):
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    ready(uri)
    assert mlflow.MlflowClient(uri).search_runs(["0"]) == []
    assert not list(tmp_path.glob(".*.making"))


def _half_made(path: Path, runs: int = 0) -> None:
    """As a killed migration leaves it: some tables, and one that the next step would make."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY)")
        database.execute("CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY)")
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")
        database.executemany("INSERT INTO runs VALUES (?)", [(str(k),) for k in range(runs)])


@pytest.mark.parametrize(
    ("runs", "remedy"), [(0, "it holds no run, so delete it"), (3, "it holds 3 runs, so restore")]
)
def test_a_half_made_store_is_named_with_what_to_do(tmp_path, runs, remedy):
    _half_made(tmp_path / "mlflow.db", runs)
    with pytest.raises(TrackingError, match="half-made") as caught:
        ready(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert remedy in str(caught.value)
    assert "mlflow.db" in str(caught.value)


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "mlflow.db").touch()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ready(uri)
    assert mlflow.MlflowClient(uri).search_experiments()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "./mlruns", "databricks", "sqlite://", "sqlite:///:memory:"]
)
def test_what_is_no_database_file_is_left_alone(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    ready(address)
    assert not list(tmp_path.iterdir())
