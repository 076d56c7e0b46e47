"""What a MySQL-compatible server does otherwise than sqlite, tried on a real MariaDB."""

from __future__ import annotations

import contextlib

import mlflow
import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.store import first_use
from mlflow_modelmap.tracking.store.client import client as client_of
from mlflow_modelmap.tracking.store.database_server import lock_name
from mlflow_modelmap.tracking.store.experiments import experiment_id, find_experiments
from tests import mariadb
from tests.tracking.runs.test_open_run import log_a_text_set_twice_at_once
from tests.tracking.store.test_first_use import check_whole, touched

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(mariadb.missing() is not None, reason=mariadb.missing() or ""),
]
LLAMA, SNAKE = "\N{LLAMA}", "\N{SNAKE}"


@pytest.fixture(scope="module")
def server():
    # As MariaDB has it by itself from 11.6 on: of two writers that meet one is sent away.
    with mariadb.running("--innodb-snapshot-isolation=ON") as address:
        yield address


@pytest.fixture(scope="module")
def database(server, tmp_path_factory):
    """A database that four processes were the first to touch, whose name is as long as may be."""
    uri = mariadb.create_database(server, "n" * 64)
    folder = tmp_path_factory.mktemp("touched")
    check_whole(touched(folder, 4, [uri]), 4)
    return uri


@pytest.fixture
def store(database, tmp_path, monkeypatch):
    """Its client, set as the current store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    mlflow.set_tracking_uri(database)
    return client_of(database)


@contextlib.contextmanager
def connected(server):
    with contextlib.closing(mariadb.connect(server)) as connection:
        yield connection.cursor()


def test_what_the_server_refuses_is_one_sentence_at_once(server):
    with connected(server) as cursor:
        cursor.execute("CREATE DATABASE latin CHARACTER SET latin1")
    asked = {
        f"{server}/nowhere": r"Unknown database .*CREATE DATABASE nowhere CHARACTER SET utf8mb4",
        f"{server.replace(mariadb.PASSWORD, 'wrong')}/x": "Access denied .* see whether user",
        f"{server}/x?nonsense=1": "nonsense.* see whether user, password and options",
        f"{server}/latin": "character set latin1, .*ALTER DATABASE latin CHARACTER SET utf8mb4",
    }
    for address, said in asked.items():
        with pytest.raises(TrackingError, match=said) as caught:
            client_of(address)
        assert mariadb.PASSWORD not in str(caught.value)


def test_a_database_that_somebody_makes_for_too_long_is_left_to_him(server, monkeypatch):
    monkeypatch.setattr(first_use, "WAIT_SECONDS", 1)
    address = mariadb.create_database(server, "held")
    with connected(server) as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (lock_name("held"),))
        with pytest.raises(TrackingError, match=r"Another process has been making the .* for 1 s"):
            client_of(address)
        cursor.execute("SHOW TABLES IN held")
        assert not cursor.fetchall()


def test_names_that_the_database_takes_for_one_are_kept_apart_or_refused(store):
    there = experiment_id("Team", store)
    experiment_id(LLAMA, store)
    for name in ("team", "Team ", "T\u00e9am", SNAKE):
        for ask in (experiment_id, lambda name, store: find_experiments([name], store)):
            with pytest.raises(TrackingError, match="takes the experiment"):
                ask(name, store)
    kept = {"kl/Tiny": 1.0, "kl/tiny": 2.0, f"kl/{LLAMA}": 3.0, f"kl/{SNAKE}": 4.0}
    with open_run("map", store=store, experiment="Team", name=LLAMA * 300) as run:
        run.log(metrics=kept, tags={"modelmap.alias": LLAMA * 9000}, params={"p": LLAMA * 7000})
    run = store.get_run(run.run_id)
    assert sorted(run.data.metrics.values()) == [1.0, 2.0, 3.0, 4.0]
    assert run.info.run_name == LLAMA * 125 + "\u2026" + LLAMA * 124
    for name in ("Point", "point"):
        store.create_run(there, run_name=name, tags={"modelmap.model": name})
    for asked in ("attributes.run_name", "tags.modelmap.model"):
        found = store.search_runs([there], f"{asked} = 'point'")
        assert [run.info.run_name for run in found] == ["point"]


def test_of_two_that_log_a_new_text_set_at_once_none_is_sent_away(store, texts):
    log_a_text_set_twice_at_once(store, texts)
